"""A library of an extra that is missing is one sentence that says how to install it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamguard.config import UserError, load_settings
from streamguard.config.extras import need
from streamguard.sinks import SINKS
from streamguard.stack.up import StartOptions, start

SENTENCE = (
    "this needs the package {package}, of the extra {extra}: ./start.sh --with {extra},"
    " or pip install 'streamguard[{extra}]'"
)


def test_what_is_there_is_imported() -> None:
    assert need("batch", "json").loads("1") == 1


def test_what_is_missing_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(UserError) as error:
        need("lake", "no_such_package.part")
    assert str(error.value) == SENTENCE.format(package="no_such_package", extra="lake")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("lake", "deltalake", "lake"), ("mongodb", "pymongo", "mongodb"), ("snowflake", "snowflake", "warehouse")],
)
def test_a_start_with_a_sink_that_lacks_its_library_begins_nothing(
    name: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for module in [module for module in sys.modules if module.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, module)
    settings = load_settings(state_dir=tmp_path / "state")
    with pytest.raises(UserError) as error:
        start(settings, StartOptions(extras=(name,)), lambda _: None)
    assert f"of the extra {extra}: ./start.sh --with {extra}" in str(error.value)
    assert not (tmp_path / "state").exists()
    with pytest.raises(UserError, match=f"of the extra {extra}"):
        SINKS[name]("anywhere")


def test_a_sink_without_a_destination_begins_nothing(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    for name, variable in (("http", "STREAMGUARD_SINK_WEBHOOK_URL"), ("mongodb", "MONGODB_URL")):
        with pytest.raises(UserError, match=variable):
            start(settings, StartOptions(extras=(name,)), lambda _: None)
    assert not (tmp_path / "state").exists()
