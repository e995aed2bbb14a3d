"""The scorecard on labelled card data: how good are rules alone, measured as the Fraud Detection Handbook measures.

1. `data.read` takes the months of card payments in order of time.
2. `rules.Scorer` gives each payment the points of every rule, from nothing but earlier payments and labels at least
   seven days old: what a desk would have known at that moment.
3. `split.test_week` takes a week, two weeks after a training week's start, and leaves out the cards that were known as
   compromised by then (the handbook's procedure, chapter "Performance assessment").
4. `metrics` turns scores and labels into precision, recall, F1, average precision, AUC and card precision@100.
"""

from streamguard.evaluation.report import Report, evaluate

__all__ = ["Report", "evaluate"]
