"""Metrics of the processes, as Prometheus reads them (https://prometheus.io/docs/practices/naming/).

The life of a figure:

1. A process counts on its way (`consumer.ConsumerMetrics`), or asks when it is asked (`kafka`, `database`, `queries`).
2. `page.serve` has it under `/metrics`, beside `/healthz` (the process answers) and `/readyz` (it can do its work).
3. `page` writes where that is into `metrics/NAME.json` of the state folder, as Prometheus' file_sd reads it.

Labels have few values that are known beforehand: topics, partitions, groups, rules of the catalogue, outcomes, reasons by kind.
No account, card, or text of a record is in one.
"""
