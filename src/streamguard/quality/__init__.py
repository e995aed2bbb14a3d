"""The quality of what the sources send, kept by the minute.

The life of a figure:

1. The consumer counts each batch (`minutes.count`) and adds that to the minute in the batch's own database transaction
   (`quality_minutes`): a batch that is read again after a crash counts once.
2. `figures` adds minutes up; `volume` compares an hour with the same hour of the weeks before.
3. `report` holds both against `limits`: for `streamguard quality`, the desk and the metrics (`collector`).

Why records were refused is in `dead_letters` already, and is counted there.
"""
