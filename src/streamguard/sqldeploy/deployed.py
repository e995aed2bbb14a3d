"""What the SQL rules consist of, kept with each deployment that found it changed: decisions name it (`consumer.rule_sets`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from sqlalchemy import Connection, text

from streamguard.database.locks import Lock
from streamguard.rules.catalogue import sql_rules
from streamguard.sqldeploy.compare import same
from streamguard.sqldeploy.run import DIFFERENT, LIVE, OFF, WAITS, Outcome, lineage, running_text
from streamguard.sqldeploy.script import Item
from streamguard.sqldeploy.state import Server
from streamguard_ksql.ast import InsertInto, Statement
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.parser import parse_statements

_NOTE = """
INSERT INTO deployed_rules (rule, version, sql_hash, sql_text, deployed_by)
SELECT :rule, :version, :sql_hash, :sql_text, :who
WHERE NOT EXISTS (
    SELECT FROM (SELECT * FROM deployed_rules WHERE rule = :rule ORDER BY deployment_no DESC LIMIT 1) newest
    WHERE newest.sql_hash = :sql_hash AND newest.version = :version
)
"""

_KEPT = "SELECT sql_text FROM deployed_rules WHERE rule = :rule ORDER BY deployment_no DESC LIMIT 1"


def note_deployed(connection: Connection, server: Server, outcomes: Sequence[Outcome], *, who: str) -> None:
    """Keep the statements of each rule of a deployment, from its sources to its queries, where they are not what was kept
    last. A rule of which something does not run (off, or waiting) stays as it was kept. Raises DeployError."""
    items = [outcome.item for outcome in outcomes]
    status = {id(outcome.item): outcome.status for outcome in outcomes}
    rows = []
    for name, version, queries in _rules(items):
        parts = [item for item in lineage(items, queries) if item.name not in LIVE]
        if any(status[id(item)] in (OFF, WAITS) for item in parts):
            continue
        kept = _kept(connection, name) if any(status[id(item)] == DIFFERENT for item in parts) else []
        texts = [_text(server, item, kept, is_other=status[id(item)] == DIFFERENT) for item in parts]
        sql_text = "\n".join(texts)
        digest = sha256(sql_text.encode()).hexdigest()
        rows.append({"rule": name, "version": version, "sql_text": sql_text, "sql_hash": digest, "who": who})
    if rows:
        # The consumer tells deployments by their highest number: none may be committed below one that it has seen.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
        connection.execute(text(_NOTE), rows)


def _rules(items: Sequence[Item]) -> Iterator[tuple[str, int, list[str]]]:
    """Name, version and query ids of each rule of the catalogue whose queries are all among the statements."""
    given = {item.name for item in items if isinstance(item.statement, InsertInto)}
    rules = sql_rules()
    for name in dict.fromkeys(rule.name for rule in rules):
        own = [rule for rule in rules if rule.name == name]
        queries = [str(rule.query_id).upper() for rule in own]
        if set(queries) <= given:
            yield name, max(rule.version for rule in own), queries


def _kept(connection: Connection, rule: str) -> list[Statement]:
    """The statements that were kept last."""
    found = connection.execute(text(_KEPT), {"rule": rule}).scalar()
    try:
        return parse_statements(found or "")
    except KsqlError:
        return []


def _text(server: Server, item: Item, kept: Sequence[Statement], *, is_other: bool) -> str:
    """A statement as it runs. The server writes it in another way than the file: where it is one that was kept, as that."""
    running = running_text(server, item) if is_other else None
    if running is None:
        return format_statement(item.statement)
    return next((format_statement(one) for one in kept if same(one, running)), f"{running.strip().rstrip(';')};")
