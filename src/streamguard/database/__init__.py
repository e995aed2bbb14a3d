"""The database: schema, migrations, map and engine. The consumer writes the rows (`streamguard.consumer.store`).

1. `engine.make_engine` connects; `engine.is_outage` distinguishes what is worth a retry.
2. `migrations.apply_schema` makes the schema or brings it to the version of this program.
3. `tables` maps it; `rows` turns rows into typed objects by the names of their columns.
4. `outbox` takes records that must reach a topic exactly once.
5. `retention` cuts what is older than asked for.
"""

from streamguard.database.engine import error_message, is_outage, make_engine, sqlstate
from streamguard.database.migrations import NewerSchema, SchemaChange, apply_schema

__all__ = [
    "NewerSchema",
    "SchemaChange",
    "apply_schema",
    "error_message",
    "is_outage",
    "make_engine",
    "sqlstate",
]
