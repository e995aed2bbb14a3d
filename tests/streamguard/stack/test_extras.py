"""What `up --with` asks for: names, the choice that is kept, and what is said where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard.config import UserError, load_settings
from streamguard.stack import extras
from streamguard.stack.doctor.settings import sinks as sinks_check
from streamguard.stack.errors import StackError
from streamguard.stack.parts import application_parts
from streamguard.stack.up import StartOptions, start


@pytest.mark.parametrize(
    ("text", "names"),
    [("jsonl, batch,jsonl", ("jsonl", "batch")), ("none", ()), ("", ()), ("none,jsonl", ("jsonl",))],
)
def test_names(text: str, names: tuple[str, ...]) -> None:
    assert extras.names_in(text) == names


def test_an_unknown_name_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="--with nope: there is no such extra or sink; choose batch"):
        extras.names_in("jsonl,nope")
    settings = load_settings(state_dir=tmp_path / "state", sinks="jsonl,nope")
    with pytest.raises(UserError, match="there is no sink 'nope'"):
        start(settings, StartOptions(), lambda _: None)
    assert not (tmp_path / "state").exists()


def test_the_choice_is_kept_until_another_is_made(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    assert extras.sinks_of(settings) == ()
    extras.keep(settings, ("jsonl", "batch"))
    assert extras.kept(settings) == ("jsonl", "batch")
    assert extras.sinks_of(settings) == ("jsonl",)
    assert extras.sinks_of(settings, ()) == ()
    extras.keep(settings, ())
    assert extras.sinks_of(settings) == ()


@pytest.mark.parametrize("text", ["jsonl,http", '["jsonl", "http"]', " jsonl , http,jsonl"])
def test_sinks_of_the_settings_are_a_list_either_way(text: str) -> None:
    assert load_settings(sinks=text).sink_names == ("jsonl", "http")


def test_each_sink_is_a_part_behind_the_consumer(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    parts = application_parts(settings, desk=False, generator=False, sinks=["jsonl"])
    assert [part.name for part in sorted(parts, key=lambda part: part.priority)] == [
        "consumer",
        "sink-jsonl",
        "monitor",
    ]
    assert parts[1].command[-2:] == ("sink", "jsonl")


def test_the_doctor_names_a_sink_without_a_destination(tmp_path: Path) -> None:
    from streamguard.stack.doctor.base import Surroundings
    from streamguard.stack.health.base import connected

    settings = load_settings(state_dir=tmp_path, sinks="nope", kafka_port=1, postgres_port=1, ksqldb_port=1)
    with connected(settings) as parts:
        [finding] = sinks_check(Surroundings(settings, parts, {}, lambda: 0.0))
    assert finding.what == "there is no sink 'nope'" and finding.cure.startswith("choose")
