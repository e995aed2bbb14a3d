"""The lake in object storage: every record once, also of two writers, and a storage that is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from streamguard.sinks import SinkUnavailable
from streamguard.sinks.lake import LakeSink
from streamguard.sinks.lake_upkeep import Upkeep, compact, vacuum
from tests.streamguard.sinks.examples import BEGIN_MS, DAY_MS, decision, poison, transaction
from tests.support.object_storage import BUCKET, ObjectStorage

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    storage = ObjectStorage(tmp_path_factory.mktemp("moto")).start()
    yield storage
    storage.kill()


@pytest.fixture
def uri(server: ObjectStorage, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.access.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{request.node.name}"


def offsets(uri: str, table: str) -> list[int]:
    found: list[dict[str, Any]] = pa.table(DeltaTable(f"{uri}/{table}").to_pyarrow_table()).to_pylist()
    return sorted(row["offset"] for row in found)


def test_a_repeated_record_is_stored_once(uri: str) -> None:
    for _ in range(2):
        sink = LakeSink(uri)
        sink.write([transaction(0), poison(1), decision(4)])
        sink.write([transaction(0), poison(1), transaction(2), poison(3)])
        assert sink.next_offsets("transactions") == {0: 4} and sink.next_offsets("decisions") == {0: 5}
        sink.close()
    assert offsets(uri, "transactions") == [0, 2] and offsets(uri, "rejected") == [1, 3]


def test_of_two_commits_at_once_one_fails(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = LakeSink(uri), LakeSink(uri)
    for sink in (first, second):
        assert sink.next_offsets("decisions") == {}
    # It does not see what the first writes meanwhile.
    monkeypatch.setattr(second, "_table", dict(second._opened).__getitem__)
    first.write([decision(0), decision(1)])
    with pytest.raises(SinkUnavailable, match="another process has written to s3://"):
        second.write([decision(0), decision(1), decision(2)])
    monkeypatch.undo()
    first.close()
    second.close()


def test_upkeep_makes_files_few(uri: str) -> None:
    sink = LakeSink(uri, upkeep=False)
    for offset in range(0, 20, 2):
        sink.write([transaction(offset), transaction(offset + 1, event_time=BEGIN_MS + DAY_MS)])
    table = DeltaTable(f"{uri}/transactions")
    assert len(table.file_uris()) == 20
    compact(table)
    sink.write([transaction(20)])
    table = DeltaTable(f"{uri}/transactions")
    assert len(table.file_uris()) == 3 and len(vacuum(table, 0)) == 20
    upkeep = Upkeep(uri, 1, after_commits=1)
    upkeep.wrote(["transactions"])
    upkeep.close()
    assert len(DeltaTable(f"{uri}/transactions").file_uris()) == 2
    assert offsets(uri, "transactions") == list(range(21))
    sink.close()


def test_a_storage_that_is_away_or_lacks_the_bucket_is_one_sentence(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = LakeSink("s3://no-such-bucket/lake")
    with pytest.raises(
        SinkUnavailable,
        match=r"^the lake s3://no-such-bucket/lake cannot be used: The specified bucket does not exist$",
    ):
        missing.next_offsets("decisions")
    missing.close()
    own = ObjectStorage(tmp_path).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", own.url)
    sink = LakeSink(uri)
    sink.write([decision(0)])
    own.kill()
    with pytest.raises(SinkUnavailable, match=rf"^the lake {uri} cannot be used: Connection refused \(os error 111\)$"):
        sink.write([decision(1)])
    sink.close()
