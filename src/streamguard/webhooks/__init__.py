"""Webhooks: each decision is posted to the addresses that want it, signed, at least once.

The life of a decision on its way out:

1. `hooks.add_hook` keeps an address; for the first one also where the topic `decisions` ends (`offsets`), so that it gets what is
   decided from then on.
2. `reader.Reader` reads the topic and stores a row for each webhook that wants the decision, in one database transaction with
   the offsets behind it: a row per decision and webhook, wherever the process is killed.
3. `sender.Sender` takes the rows that are due, oldest first, each webhook on a thread of its own, and posts them (`post`) with
   the headers of `signing`. What fails is tried again, later and later (`schedule`), for a day; then it is given up and stays
   in sight.
4. `service.Webhooks` runs both within the desk. Without a webhook it looks into one empty table every few seconds.

`deliveries` is the log: what waits, what was delivered, what was given up, and sending something again.
"""
