"""The lake as a destination for tests: in a folder, and in object storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deltalake import DeltaTable

from tests.support.object_storage import BUCKET, ObjectStorage
from tests.support.sink_target import TABLES, Row, Target


@dataclass
class Lake(Target):
    """A folder. Away: a file is in its place."""

    folder: Path
    name: str = "lake"
    uri: str = field(init=False)
    access: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.uri = str(self.folder / "lake")

    def environment(self) -> dict[str, str]:
        return {"LAKE_URI": self.uri, "STREAMGUARD_LAKE_BATCH_S": "0.5", **self.access}

    def away(self) -> None:
        (self.folder / "lake").rename(self.folder / "aside")
        (self.folder / "lake").write_text("in the way")

    def back(self) -> None:
        (self.folder / "lake").unlink()
        (self.folder / "aside").rename(self.folder / "lake")

    def rows(self) -> Iterator[Row]:
        for name, table in self._tables():
            what = "value" if name == "rejected" else "transaction_id"
            for row in table.to_pyarrow_table(columns=["topic", "partition", "offset", what]).to_pylist():
                yield (row["topic"], row["partition"], row["offset"]), row[what]

    def count(self) -> int:
        return sum(table.count() for _, table in self._tables())

    def _tables(self) -> Iterator[tuple[str, DeltaTable]]:
        for name in TABLES:
            if DeltaTable.is_deltatable(f"{self.uri}/{name}", self.access):
                yield name, DeltaTable(f"{self.uri}/{name}", storage_options=self.access)


@dataclass
class LakeInBucket(Lake):
    """Object storage. Away: it answers nothing."""

    storage: ObjectStorage = field(init=False)

    def __post_init__(self) -> None:
        self.storage = ObjectStorage(self.folder).start()
        self.uri, self.access = f"s3://{BUCKET}/lake", self.storage.access

    def away(self) -> None:
        self.storage.stop()

    def back(self) -> None:
        self.storage.go_on()

    def close(self) -> None:
        self.storage.kill()
