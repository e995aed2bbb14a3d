"""What status concludes from the calls before it, and from the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import TopicPartition

from streamguard.config import Settings, load_settings
from streamguard.kafka.lags import Lag
from streamguard.stack.health import Context, processes, readers
from streamguard.stack.health.samples import Positions, Samples


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "run").mkdir()
    return load_settings(state_dir=tmp_path)


def test_samples_are_kept_by_reader_and_age(settings: Settings) -> None:
    first: Positions = {"t/0": (1, 2)}
    assert Samples(settings).of("r", 0) == []
    Samples(settings).add({"r": first})
    Samples(settings).add({"r": {"t/0": (2, 3)}, "other": {}})
    assert Samples(settings).of("r", 0) == [{"t/0": (2, 3)}]
    assert Samples(settings).of("r", 60) == [], "none is so old"
    assert Samples(settings).of("unknown", 0) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[[0, {"r": {"t/0": [1, 2]}}]]', b"\xff"])
def test_a_damaged_or_old_file_of_samples_is_none(settings: Settings, content: bytes) -> None:
    (settings.state_path / "run" / "status.json").write_bytes(content)
    samples = Samples(settings)
    assert samples.of("r", 0) == []
    samples.add({"r": {"t/0": (1, 2)}})
    assert Samples(settings).of("r", 0) == [{"t/0": (1, 2)}]


def test_a_folder_that_is_not_there_keeps_nothing(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "none")
    Samples(settings).add({"r": {}})
    assert Samples(settings).of("r", 0) == [] and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("earlier", "stuck"),
    [
        ([(5, 9)], True),
        ([(5, 6), (5, 9)], True),
        ([(4, 9)], False),  # it has moved since
        ([(5, 5)], False),  # nothing waited then: the record has come just now
        ([(5, 9), (5, 5)], False),
    ],
)
def test_a_query_is_stuck_where_it_was_with_records_before_it(earlier: list[tuple[int, int]], stuck: bool) -> None:
    lag = Lag(TopicPartition("t", 0), 5, 9)
    assert readers._was_stuck(lag, [{"t/0": place} for place in earlier]) is stuck
    assert not readers._was_stuck(lag, [{}])


@pytest.mark.parametrize(
    ("history", "behind"),
    [
        ([(0, 100), (50, 400)], True),
        ([(0, 100), (500, 700)], False),  # less waits than was read meanwhile
        ([(0, 400), (50, 300)], False),  # it catches up
        ([(0, 100), (100, 100), (100, 400)], False),  # it had caught up in between
        ([(0, 0), (0, 400)], False),
    ],
)
def test_a_reader_falls_behind_where_its_lag_grows_beyond_what_it_reads(
    history: list[tuple[int, int]], behind: bool
) -> None:
    assert readers._falls_behind([{"t/0": place} for place in history]) is behind


def test_a_disk_that_is_nearly_full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(processes.disk(Context(settings))) == []
    monkeypatch.setattr(processes, "LEAST_FREE_BYTES", 2**60)
    [finding] = processes.disk(Context(settings))
    assert finding.serious and f"MiB are free for {settings.state_path}" in finding.sentence
