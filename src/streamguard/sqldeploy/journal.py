"""Which shadow there is: noted before its first statement is sent, so that what was killed is finished or removed.

| state | the server has | what comes next |
|---|---|---|
| running | the shadow, or a part of it while it is being deployed | `deploy --shadow` again, promote or drop |
| promoting | the live rules, the new ones, or a part of either, and the shadow | promote, which goes on |
| promoted | the new rules | |
| dropping | a part of the shadow | drop, or `deploy --shadow`, which drops first |
| dropped | nothing of it | |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as
from streamguard.sqldeploy.script import Item, read_text, text_of

RUNNING, PROMOTING, PROMOTED, DROPPING, DROPPED = "running", "promoting", "promoted", "dropping", "dropped"


@dataclass(frozen=True)
class Shadow:
    """One deployment of a shadow: the files with their texts, as they were then."""

    deployment_no: int
    state: str
    files: list[dict[str, str]]
    definitions: dict[str, str]
    reason: str
    made_by: str
    made_at: datetime
    quiet_s: float
    """Since the state was set, seconds."""

    def items(self) -> list[Item]:
        """The statements under their real names. Raises DeployError."""
        read = [read_text(Path(file["name"]), file["text"], self.definitions) for file in self.files]
        return [item for items in read for item in items]

    @property
    def names(self) -> str:
        """The files, for messages."""
        return ", ".join(file["name"] for file in self.files)

    def is_of(self, files: Sequence[Mapping[str, str]], definitions: Mapping[str, str]) -> bool:
        """Whether it is what these files and definitions make."""
        texts = [file["text"] for file in self.files]
        return texts == [file["text"] for file in files] and self.definitions == dict(definitions)


_COLUMNS = columns_of(Shadow).replace("quiet_s", "extract(epoch FROM clock_timestamp() - changed_at)::FLOAT AS quiet_s")
_OPEN = f"""
SELECT {_COLUMNS} FROM shadow_deployments WHERE state IN ('running', 'promoting', 'dropping')
"""
_NOTE = f"""
INSERT INTO shadow_deployments (state, files, definitions, reason, made_by)
VALUES ('running', CAST(:files AS JSONB), CAST(:definitions AS JSONB), :reason, :who) RETURNING {_COLUMNS}
"""
_CHANGE = """
UPDATE shadow_deployments
SET state = :state, change_reason = coalesce(:reason, change_reason), changed_by = coalesce(:who, changed_by),
    changed_at = clock_timestamp()
WHERE deployment_no = :deployment_no
"""


def texts_of(files: Sequence[Path]) -> list[dict[str, str]]:
    """Name and text of each file. Raises DeployError."""
    return [{"name": str(file), "text": text_of(file)} for file in files]


def open_shadow(connection: Connection) -> Shadow | None:
    """The shadow that is neither promoted nor dropped; there is one at most."""
    found = select_as(connection, Shadow, text(_OPEN))
    return found[0] if found else None


def note(
    connection: Connection,
    files: Sequence[Mapping[str, str]],
    definitions: Mapping[str, str],
    *,
    who: str,
    reason: str,
) -> Shadow:
    """Begin a shadow; an error of the database where there is one."""
    row: dict[str, Any] = {"files": json.dumps(list(files)), "definitions": json.dumps(dict(definitions))}
    [shadow] = select_as(connection, Shadow, text(_NOTE), {**row, "reason": reason, "who": who})
    return shadow


def change(
    connection: Connection, shadow: Shadow, state: str, *, who: str | None = None, reason: str | None = None
) -> None:
    """Set the state of a shadow; without `who` and `reason` those of the change before stay."""
    row = {"deployment_no": shadow.deployment_no, "state": state, "who": who, "reason": reason}
    connection.execute(text(_CHANGE), row)
