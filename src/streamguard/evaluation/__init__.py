"""The scorecard: how good are the rules that run, measured as the Fraud Detection Handbook measures.

1. `data.read` (files) and `topic.read_topic` (the stream) give labelled payments in the order of time.
2. `scores.score` sends them through the SQL files, the Python rules and the decision (`replay.Replay`), with the labels
   of frauds as chargebacks some days late, and keeps what each payment is given.
3. `split.test_week` takes a week, two weeks after a training week's start, and leaves out the cards that were known as
   compromised by then (the handbook's procedure, chapter "Performance assessment").
4. `metrics` turns scores and labels into precision, recall, F1, average precision, AUC and card precision@100, and
   `report` puts them together.

`stream` compares the alerts of the running stack with the labels of the generator.
"""
