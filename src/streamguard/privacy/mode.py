"""How personal data is protected belongs to the database: kept with its first start, and the same for every later one.

A process that stored values in another form, or under another key, would match nothing that is there: rules would not know
their devices, lists their entries. So every command that writes or looks up protected values asks here first.

* Where nothing is set, the database's mode is used, with the key from `streamguard.privacy.key`.
* A mode or a key that is set and differs is rejected with a sentence. Names in `STREAMGUARD_PII_FIELDS` may be added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extras import Json
from sqlalchemy import Connection, Engine

from streamguard.config import Settings, UserError, variable_of
from streamguard.database.rows import columns_of, fetch
from streamguard.privacy.key import fingerprint, key_file, known_key
from streamguard.privacy.protection import MODES_BY_FORM, Protection

KINDS = ("account", "card", "ip", "device")


class OtherProtection(UserError):
    """The settings of personal data do not fit the database."""


@dataclass(frozen=True)
class _Stored:
    account: str
    card: str
    ip: str
    device: str
    fields: dict[str, str]
    key_fingerprint: str | None
    set_at: datetime


def settle(engine: Engine, settings: Settings) -> Protection:
    """For the consumer: `protection_of`, and the names of fields that are set now are kept for every later one."""
    with engine.begin() as connection:
        protection = protection_of(connection, settings)
        if settings.pii_fields:
            cursor = connection.connection.cursor()
            cursor.execute("UPDATE personal_data SET fields = fields || %s", (Json(settings.pii_fields),))
    return protection


def protection_of(connection: Connection, settings: Settings) -> Protection:
    """The protection of this database, which is kept there now if it was not. Raises OtherProtection, database errors."""
    cursor = connection.connection.cursor()
    stored = _stored(cursor)
    if stored is None:
        _keep_first(cursor, settings)
        stored = _stored(cursor)
        assert stored is not None
    return _protection(stored, settings)


def stored_modes(connection: Connection) -> dict[str, str]:
    """How each kind is stored here: keep, mask or token; all are kept where nothing was stored yet."""
    stored = _stored(connection.connection.cursor())
    return {kind: "keep" if stored is None else str(getattr(stored, kind)) for kind in KINDS}


def check_key(settings: Settings) -> None:
    """Raises OtherProtection where the settings alone show that a key is missing."""
    wanted = {kind: mode for kind, mode in _given(settings).items() if mode != "keep"}
    if wanted and not known_key(settings):
        raise _no_key(settings, wanted)


def _given(settings: Settings) -> dict[str, str]:
    """The modes that are set, by kind."""
    modes = {kind: getattr(settings, f"pii_{kind}") for kind in KINDS}
    return {kind: mode for kind, mode in modes.items() if mode is not None}


def _stored(cursor: Any) -> _Stored | None:
    cursor.execute(f"SELECT {columns_of(_Stored)} FROM personal_data")
    rows = fetch(cursor, _Stored)
    return rows[0] if rows else None


def _keep_first(cursor: Any, settings: Settings) -> None:
    """The mode of a database that has none yet: what is set, unless rows of before show another one."""
    modes = dict.fromkeys(KINDS, "keep") | _given(settings)
    for kind, found in _modes_of_rows(cursor).items():
        if found and modes[kind] not in found:
            variable = variable_of(f"pii_{kind}")
            raise OtherProtection(
                f"{variable} is {modes[kind]}, and this database has rows with {kind} as {' and '.join(sorted(found))}:"
                f" set {variable}={min(found)} (and the key of that time), or begin with an empty database"
            )
    protected = {kind: mode for kind, mode in modes.items() if mode != "keep"}
    key = known_key(settings) if protected else ""
    if protected and not key:
        raise _no_key(settings, protected)
    cursor.execute(
        "INSERT INTO personal_data (account, card, ip, device, fields, key_fingerprint) VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (*(modes[kind] for kind in KINDS), Json({}), fingerprint(key) if key else None),
    )


def _modes_of_rows(cursor: Any) -> dict[str, set[str]]:
    """In which forms transactions of before are stored, by kind; a thousand of them tell."""
    cursor.execute("SELECT account_id, ip_address, device_id FROM transactions LIMIT 1000")
    columns = list(zip(*cursor.fetchall(), strict=True)) or [(), (), ()]
    named = zip(("account", "ip", "device"), columns, strict=True)
    return {kind: {_form(value) for value in values if value is not None} for kind, values in named}


def _form(value: str) -> str:
    return next((mode for mode, form in MODES_BY_FORM.items() if re.fullmatch(form, value)), "keep")


def _protection(stored: _Stored, settings: Settings) -> Protection:
    modes = {kind: str(getattr(stored, kind)) for kind in KINDS}
    for kind, mode in _given(settings).items():
        if mode != modes[kind]:
            raise OtherProtection(
                f"{variable_of(f'pii_{kind}')} is {mode}, and this database has {modes[kind]} since"
                f" {stored.set_at:%Y-%m-%d %H:%M} UTC: leave it unset, or begin with an empty database"
                " (`streamguard down --wipe`)"
            )
    protected = {kind: mode for kind, mode in modes.items() if mode != "keep"}
    key = _right_key(stored, settings, protected) if protected else ""
    return Protection(modes, key, _fields(stored, settings))


def _right_key(stored: _Stored, settings: Settings, protected: Mapping[str, str]) -> str:
    key = known_key(settings)
    if not key:
        raise _no_key(settings, protected)
    if fingerprint(key) != stored.key_fingerprint:
        where = "STREAMGUARD_PII_KEY" if settings.pii_key.get_secret_value() else str(key_file(settings))
        raise OtherProtection(
            f"{where} is not the key that this database has had since {stored.set_at:%Y-%m-%d %H:%M} UTC: with another one"
            " nothing that is stored would be found; set STREAMGUARD_PII_KEY to that key"
        )
    return key


def _no_key(settings: Settings, protected: Mapping[str, str]) -> OtherProtection:
    kinds = " and ".join(f"{kind} as {mode}" for kind, mode in protected.items())
    return OtherProtection(
        f"STREAMGUARD_PII_KEY: {kinds} needs a key, and there is none in the environment nor in {key_file(settings)}: set"
        " the key that this database began with, or for an empty one a new key such as `openssl rand -hex 32`"
    )


def _fields(stored: _Stored, settings: Settings) -> dict[str, str]:
    """The names that count as personal beyond the usual ones: those of the database, and what is set now is added."""
    for name, kind in settings.pii_fields.items():
        if stored.fields.get(name, kind) != kind:
            raise OtherProtection(
                f"STREAMGUARD_PII_FIELDS: {name} is {kind}, and this database has it as {stored.fields[name]}: leave it out"
            )
    return {**stored.fields, **settings.pii_fields}
