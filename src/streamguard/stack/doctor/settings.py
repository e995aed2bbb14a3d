"""The environment, `.env`, and files with secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from streamguard.config import Settings, UserError, variable_of
from streamguard.config.errors import SettingsError
from streamguard.config.names import ENV_FILE
from streamguard.config.password import PASSWORD_FILE
from streamguard.privacy.mode import check_key
from streamguard.rules import RuleLimits
from streamguard.stack import extras
from streamguard.stack.broker_door import check_broker
from streamguard.stack.doctor.base import Finding, Surroundings, check, halves
from streamguard.stack.door import check_door

TITLE = "Settings"
_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|_KEY|DATABASE_URL|KSQLDB_URL|MONGODB_URL|WEBHOOK_URL)$")
_FILES = ("password_file", "keyfile", "key_file", "_key")
"""How the settings end that name a file with a secret."""
_PORTS = {"broker": "kafka_port", "ksqldb": "ksqldb_port", "postgres": "postgres_port"}


def of_error(error: SettingsError) -> Iterator[Finding]:
    """What keeps the settings from being used, a finding for each variable."""
    for sentence in re.split(r"; (?=[A-Z][A-Z_]{3,})", str(error)):
        variable = sentence.partition(":")[0].partition(" ")[0]
        if (unknown := re.search(r"is not a setting; the nearest one is (\w+)", sentence)) is not None:
            yield Finding(sentence.partition(";")[0], f"name it {unknown[1]}, or remove it", TITLE)
        elif variable.isupper() and sentence.count(": ") == 1 and "; " not in sentence:
            yield Finding(sentence, f"set {variable} to what is expected, or remove it", TITLE)
        else:
            found = halves(sentence, "mend the variable that it names")
            yield Finding(found.what, found.cure, TITLE)


def without_settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What can be said of the sources of the settings whether or not they can be used."""
    yield from (Finding(one.what, one.cure, TITLE) for one in (*_limits(), *_env_file(Path(ENV_FILE).absolute())))


def _limits() -> Iterator[Finding]:
    try:
        RuleLimits()
    except SettingsError as error:
        yield from of_error(error)


def _env_file(file: Path) -> Iterator[Finding]:
    if not os.path.lexists(file):
        return
    if not file.is_file():
        yield Finding(
            f"{file} is no file: no setting is read from it", f"make it a file: `rm -r {file}`, then write it"
        )
        return
    try:
        with file.open(encoding="utf-8") as opened:
            found = list(parse_stream(opened))
    except UnicodeDecodeError:
        return  # the settings have said so
    except OSError as error:
        yield Finding(f"{file} cannot be read ({error.strerror}): no setting is taken from it", f"`chmod u+r {file}`")
        return
    for binding in found:
        if binding.error:
            line = binding.original.line
            yield Finding(f"line {line} of {file} is not NAME=VALUE: it is left out", f"mend line {line}, or remove it")
    if any(binding.key and binding.value and _SECRET.search(binding.key) for binding in found):
        yield from _closed(file, "has a password or a key")


@check("Files with secrets")
def secrets(around: Surroundings) -> Iterator[Finding]:
    """Files with passwords and keys that others than their owner may read."""
    for field in type(around.settings).model_fields:
        file = getattr(around.settings, field)
        if field.endswith(_FILES) and isinstance(file, Path):
            yield from _closed(file, f"is the secret of {variable_of(field)}")
    yield from _closed(around.settings.state_path / PASSWORD_FILE, "has the password of the database")


def _closed(file: Path, why: str) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        yield Finding(f"{file} {why}, and others may use it (mode {mode:04o})", f"`chmod 600 {file}`")


@check("Settings that contradict each other")
def contradictions(around: Surroundings) -> Iterator[Finding]:
    """What a start would reject, and addresses that leave a port without meaning."""
    settings = around.settings
    embedded = "broker" not in settings.external
    for door in (check_key, check_door, *([check_broker] if embedded else [])):
        try:
            door(settings)
        except UserError as error:
            yield halves(str(error))
    yield from _addresses(settings)


def _addresses(settings: Settings) -> Iterator[Finding]:
    """A port that was set moves the embedded part; an address that was set names another, so the port moves nothing."""
    for part, address in settings.external.items():
        field = _PORTS[part]
        if field in settings.model_fields_set:
            port = variable_of(field)
            yield Finding(
                f"{address} names a {part} elsewhere, so {port}={getattr(settings, field)} moves nothing",
                f"remove {address} to have the embedded one on that port, or remove {port}",
            )


@check("Sinks")
def sinks(around: Surroundings) -> Iterator[Finding]:
    """Sinks that the stack is to run and that cannot: unknown, without their library, or without a destination."""
    try:
        extras.check(around.settings)
    except UserError as error:
        yield halves(str(error))
