"""How many consumers and engines `up` is asked for, the parts that come of it, and what is said of odd numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard.config import load_settings
from streamguard.metrics.targets import member_name
from streamguard.stack.errors import StackError
from streamguard.stack.numbers import CONSUMERS, ENGINES
from streamguard.stack.parts import application_parts, engine_parts
from streamguard.stack.up import StartOptions, start


@pytest.mark.parametrize(("number", "says"), [(0, "at least 1 stores"), (-2, "at least 1"), (65, "at most 64 run")])
def test_an_odd_number_is_refused_before_anything_is_made(tmp_path: Path, number: int, says: str) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    with pytest.raises(StackError, match=f"--consumers {number}: {says}"):
        start(settings, StartOptions(consumers=number), lambda _: None)
    assert not (tmp_path / "state").exists()


def test_the_number_is_kept_until_another_is_asked_for(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    assert CONSUMERS.kept(settings) == 1
    CONSUMERS.keep(settings, 3)
    assert CONSUMERS.kept(settings) == 3
    (tmp_path / "consumers").write_text("many")
    with pytest.raises(StackError, match=r"consumers cannot be read .*: remove it"):
        CONSUMERS.kept(settings)


def test_each_consumer_is_a_part_and_a_member_of_its_own(tmp_path: Path) -> None:
    parts = application_parts(load_settings(state_dir=tmp_path), desk=False, generator=False, consumers=3)
    members = [part for part in parts if part.name.startswith("consumer")]
    assert [part.name for part in members] == ["consumer", "consumer-2", "consumer-3"]
    instances = [dict(part.environment)["STREAMGUARD_CONSUMER_INSTANCE"] for part in members]
    assert len(set(instances)) == 3
    assert [member_name(instance) for instance in instances] == [part.name for part in members]
    assert member_name("") == member_name("pod-2") == "consumer"


def test_those_without_a_partition_stand_by() -> None:
    assert CONSUMERS.standing_by(3, 3) is None
    assert CONSUMERS.standing_by(5, 3) == (
        "5 consumers share 3 partitions: 2 stand by for one that ends (STREAMGUARD_TOPIC_PARTITIONS)"
    )
    assert "1 partition: 1 stands by" in str(CONSUMERS.standing_by(2, 1))


def test_engines_share_from_two_on(tmp_path: Path) -> None:
    """One is alone, at the address of the settings; of several each has a name, a folder and a port of its own."""
    settings = load_settings(state_dir=tmp_path)
    [alone] = engine_parts(settings, 1)
    assert "--share-as" not in alone.command
    first, second, third = engine_parts(settings, 3)
    assert first.command == (*alone.command, "--share-as", "engine-1")
    assert (first.port, second.port) == (alone.port, None)
    for part, number in ((second, 2), (third, 3)):
        words = part.command
        assert words[-2:] == ("--share-as", f"engine-{number}")
        assert words[words.index("--listen") + 1] == "127.0.0.1:0"
        assert words[words.index("--data-dir") + 1] == str(tmp_path / f"ksqldb-{number}")
        assert words[words.index("--metrics-file") + 1].endswith(f"ksqldb-{number}.json")


@pytest.mark.parametrize(("number", "says"), [(0, "at least 1 runs the rules"), (13, "at most 12 run")])
def test_an_odd_number_of_engines_is_refused(tmp_path: Path, number: int, says: str) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    with pytest.raises(StackError, match=f"--engines {number}: {says}"):
        start(settings, StartOptions(engines=number), lambda _: None)


def test_engines_elsewhere_are_not_ours_to_multiply(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "state", ksqldb_url="http://elsewhere:8088")
    with pytest.raises(StackError, match="--engines 2: the SQL engine is not the embedded one"):
        start(settings, StartOptions(engines=2), lambda _: None)
    assert (
        ENGINES.standing_by(4, 3)
        == "4 engines share 3 partitions: 1 stands by for one that ends (STREAMGUARD_TOPIC_PARTITIONS)"
    )
