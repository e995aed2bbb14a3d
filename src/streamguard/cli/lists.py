"""`streamguard blacklist|allowlist add|remove|list`: one set of commands for the two tables, which are of one shape."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Annotated

import orjson
import typer
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from sqlalchemy import Table, delete, select
from sqlalchemy.dialects.postgresql import insert

from streamguard.cli.shared import database, new_app
from streamguard.config import get_settings
from streamguard.database import AllowlistRow, BlacklistRow
from streamguard.privacy.protection import Protection


class Kind(str, Enum):
    """What can be listed."""

    account = "account"
    merchant = "merchant"
    device = "device"
    ip = "ip"
    country = "country"


Reason = Annotated[str, typer.Option("--reason", help="Why; a decision quotes it.")]
Days = Annotated[float | None, typer.Option("--days", min=0, help="For so long; for good if not given.")]


def _commands(table: Table, help_text: str) -> typer.Typer:
    """The three commands on one table."""
    app = new_app(help_text)
    name = table.name

    @app.command()
    def add(kind: Kind, value: str, reason: Reason, days: Days = None) -> None:
        """List a value, or change the reason and the end of one that is listed."""
        expires = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
        changes = {"reason": reason, "expires_at": expires}
        stored = Protection.of(get_settings()).listed(kind.value, value)
        statement = insert(table).values({"kind": kind.value, "value": stored, **changes})
        with database() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["kind", "value"], set_=changes))
        if table.name == BLACKLIST_TOPIC:
            publish([(f"{kind.value}:{value}", _entry(reason, expires))])
        print(
            f"{kind.value} {stored} is on the {name}{'' if expires is None else f' until {expires:%Y-%m-%d %H:%M} UTC'}"
        )

    @app.command()
    def remove(kind: Kind, value: str) -> None:
        """Take a value off the list; exits 1 if it was not on it."""
        stored = Protection.of(get_settings()).listed(kind.value, value)
        with database() as connection:
            done = connection.execute(delete(table).where(table.c.kind == kind.value, table.c.value == stored))
        if not done.rowcount:
            typer.echo(f"{kind.value} {stored} is not on the {name}", err=True)
            raise typer.Exit(1)
        if table.name == BLACKLIST_TOPIC:
            publish([(f"{kind.value}:{value}", None)])
        print(f"{kind.value} {stored} is off the {name}")

    @app.command("list")
    def list_entries() -> None:
        """The list, one entry per line."""
        columns = (table.c.kind, table.c.value, table.c.reason, table.c.expires_at)
        with database() as connection:
            rows = connection.execute(select(*columns).order_by(table.c.kind, table.c.value)).all()
        for kind, value, reason, expires in rows:
            until = "for good" if expires is None else f"until {expires:%Y-%m-%d %H:%M} UTC"
            print(f"{kind:<9} {value:<24} {until:<26} {reason}")
        if not rows:
            print(f"the {name} is empty")

    return app


def _table(model: type[BlacklistRow] | type[AllowlistRow]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


BLACKLIST_TOPIC = "blacklist"
"""The compacted topic that ksqldb/blacklist.sql joins with: the key is KIND:VALUE, a tombstone takes an entry off.

It carries values as payments do, also where the table keeps tokens (STREAMGUARD_PII_*): SQL sees payments before that.
"""


def publish(entries: list[tuple[str, bytes | None]]) -> None:
    """Write entries to the compacted topic, made on first use. A log that is away is said: the table has the entry."""
    settings = get_settings()
    servers = settings.kafka_bootstrap_servers.split(",")
    try:
        admin = KafkaAdminClient(bootstrap_servers=servers, bootstrap_timeout_ms=2_000)
        try:
            if BLACKLIST_TOPIC not in admin.list_topics():
                topic = {"num_partitions": settings.topic_partitions, "replication_factor": -1}
                admin.create_topics({BLACKLIST_TOPIC: {**topic, "configs": {"cleanup.policy": "compact"}}})
        finally:
            admin.close()
        producer = KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
        try:
            for sent in [producer.send(BLACKLIST_TOPIC, key=key.encode(), value=value) for key, value in entries]:
                sent.get(timeout=10)
        finally:
            producer.close(timeout=2)
    except KafkaError as error:
        typer.echo(
            f"the log was not told ({type(error).__name__}); `streamguard blacklist sync` tells it all", err=True
        )


def _entry(reason: str, expires: datetime | None) -> bytes:
    expires_ms = None if expires is None else round(expires.timestamp() * 1000)
    return orjson.dumps({"REASON": reason, "EXPIRES_AT": expires_ms})


blacklist_app = _commands(
    _table(BlacklistRow), "Accounts, merchants, devices, addresses and countries that must not pay."
)
allowlist_app = _commands(_table(AllowlistRow), "What the desk vouches for: its alerts are dismissed.")


@blacklist_app.command()
def sync() -> None:
    """Write the whole blacklist to its topic, for the SQL rule that joins with it."""
    with database() as connection:
        rows = connection.execute(
            select(BlacklistRow.kind, BlacklistRow.value, BlacklistRow.reason, BlacklistRow.expires_at)
        ).all()
    protection = Protection.of(get_settings())
    # The SQL rule compares with payments as they are sent; what the table keeps as a token or mask would never match.
    clear = [row for row in rows if not protection.protects(row.kind)]
    publish([(f"{row.kind}:{row.value}", _entry(row.reason, row.expires_at)) for row in clear])
    kept_back = f"; {len(rows) - len(clear)} protected ones stay in the table" if len(clear) < len(rows) else ""
    print(f"{len(clear)} entries written{kept_back}")
