"""What decisions rest on, as a row of `rule_sets`: program, Python rules with their modes, limits, points, and deployed SQL.

Its hash is that of the content, so that the same rules have the same hash wherever they decide. The consumer asks for the
number with each batch that it judges; it is looked up only where a mode or a deployment has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import orjson

from streamguard.database.rows import fetch
from streamguard.rules import REGISTRY, RuleLimits
from streamguard.rules.base import HISTORY_LENGTH
from streamguard.rules.catalogue import base_points
from streamguard.rules.decide import ACTIVE

_DEPLOYED = """
SELECT DISTINCT ON (rule) rule, version, sql_hash FROM deployed_rules WHERE deployment_no <= %(deployment_no)s
ORDER BY rule, deployment_no DESC
"""
_FIND = "SELECT rule_set_no FROM rule_sets WHERE hash = %(hash)s"
_INSERT = """
INSERT INTO rule_sets (hash, content) VALUES (%(hash)s, %(content)s) ON CONFLICT (hash) DO NOTHING RETURNING rule_set_no
"""


@dataclass(frozen=True)
class _Deployed:
    rule: str
    version: int
    sql_hash: str


class RuleSets:
    """The numbers of the rule sets that this process decides with; `limits` and `base` are the same as long as it runs."""

    def __init__(self, limits: RuleLimits, settings: Mapping[str, Any]) -> None:
        self.limits = limits
        self.base = base_points()
        self._fixed: dict[str, Any] = {
            "program": version("streamguard"),
            "limits": limits.model_dump(mode="json"),
            "base_points": self.base,
            "settings": {"history_length": HISTORY_LENGTH, **settings},
        }
        self._known: dict[tuple[int, tuple[tuple[str, str], ...]], int] = {}

    def number(self, cursor: Any, modes: Mapping[str, str], deployment_no: int) -> int:
        """The number of the rule set with these modes after this deployment of SQL; it is stored if it is new."""
        key = (deployment_no, tuple(sorted(modes.items())))
        known = self._known.get(key)
        if known is not None:
            return known
        cursor.execute(_DEPLOYED, {"deployment_no": deployment_no})
        content = orjson.dumps(self._content(modes, fetch(cursor, _Deployed)), option=orjson.OPT_SORT_KEYS)
        row = {"hash": sha256(content).digest(), "content": content.decode()}
        cursor.execute(_FIND, row)
        if found := cursor.fetchone():
            self._known[key] = int(found[0])
            return self._known[key]
        # Not kept in memory yet: this database transaction may be rolled back.
        cursor.execute(_INSERT, row)
        made = cursor.fetchone()
        if made is None:
            # Another member has just stored it.
            cursor.execute(_FIND, row)
            [made] = cursor.fetchall()
        return int(made[0])

    def _content(self, modes: Mapping[str, str], deployed: list[_Deployed]) -> dict[str, Any]:
        python = [
            {"name": rule.name, "version": rule.version, "mode": modes.get(rule.name, ACTIVE)}
            for rule in REGISTRY.values()
        ]
        sql = [
            {"name": rule.rule, "version": rule.version, "mode": modes.get(rule.rule, ACTIVE), "sql": rule.sql_hash}
            for rule in deployed
        ]
        return {**self._fixed, "python_rules": python, "sql_rules": sql}
