"""A ksqlDB in this process, without a broker: statements and records in, the records of the topics out.

engine = LocalEngine(partitions=3)
engine.listen("fraud_alerts", alerts.extend)
engine.run(sql)
engine.feed(records)           # all queries have run over them when it returns
"""

from __future__ import annotations

from streamguard_ksql.local.engine import LocalEngine, by_topic
from streamguard_ksql.local.query import LocalQuery

__all__ = ["LocalEngine", "LocalQuery", "by_topic"]
