"""How many consumers `up --consumers` asks for, the parts that come of it, and what is said of odd numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard.config import load_settings
from streamguard.metrics.targets import member_name
from streamguard.stack import consumers
from streamguard.stack.errors import StackError
from streamguard.stack.parts import application_parts
from streamguard.stack.up import StartOptions, start


@pytest.mark.parametrize(("number", "says"), [(0, "at least 1 stores"), (-2, "at least 1"), (65, "at most 64 run")])
def test_an_odd_number_is_refused_before_anything_is_made(tmp_path: Path, number: int, says: str) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    with pytest.raises(StackError, match=f"--consumers {number}: {says}"):
        start(settings, StartOptions(consumers=number), lambda _: None)
    assert not (tmp_path / "state").exists()


def test_the_number_is_kept_until_another_is_asked_for(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    assert consumers.kept(settings) == 1
    consumers.keep(settings, 3)
    assert consumers.kept(settings) == 3
    (tmp_path / "consumers").write_text("many")
    with pytest.raises(StackError, match=r"consumers cannot be read .*: remove it"):
        consumers.kept(settings)


def test_each_consumer_is_a_part_and_a_member_of_its_own(tmp_path: Path) -> None:
    parts = application_parts(load_settings(state_dir=tmp_path), desk=False, generator=False, consumers=3)
    members = [part for part in parts if part.name.startswith("consumer")]
    assert [part.name for part in members] == ["consumer", "consumer-2", "consumer-3"]
    instances = [dict(part.environment)["STREAMGUARD_CONSUMER_INSTANCE"] for part in members]
    assert len(set(instances)) == 3
    assert [member_name(instance) for instance in instances] == [part.name for part in members]
    assert member_name("") == member_name("pod-2") == "consumer"


def test_those_without_a_partition_stand_by() -> None:
    assert consumers.standing_by(3, 3) is None
    assert consumers.standing_by(5, 3) == (
        "5 consumers share 3 partitions: 2 stand by for one that ends (STREAMGUARD_TOPIC_PARTITIONS)"
    )
    assert "1 partition: 1 stands by" in str(consumers.standing_by(2, 1))
