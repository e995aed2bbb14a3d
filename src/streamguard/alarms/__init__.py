"""Alarms without Prometheus: the rules of ops/prometheus/alerts.yml, evaluated in the monitor.

The life of an alarm:

1. `loop` reads the pages of all processes every few seconds (`scrape`) and keeps what the rules look back on (`samples`).
2. `rules` evaluates the conditions, which are PromQL (`promql`), as Prometheus would.
3. `states` has an alarm pending while its condition holds, and firing once it has held for its time.
4. `notify` compares what fires with what each receiver knows; `messages` puts that into words; `receivers` sends it.
5. `store` keeps all that in the state folder, so that a restart forgets nothing and announces nothing twice.

No account, card or text of a record is in a message: labels and figures are those of `streamguard.metrics`.
"""
