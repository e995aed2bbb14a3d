"""The destinations of sinks for tests: each can be made unavailable, come back, and be read with eyes other than the sink's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import pymongo
from deltalake import DeltaTable

from tests.support.mongodb import MongoProcess
from tests.support.object_storage import BUCKET, ObjectStorage
from tests.support.receiver import Receiver
from tests.support.snowflake import SnowflakeProcess

Place = tuple[str, int, int]
Row = tuple[Place, object]
"""Topic, partition and offset; and the transaction's id, or the bytes of what is no transaction."""

TABLES = ("transactions", "fraud_alerts", "decisions", "rejected")


class Target(Protocol):
    """Where a sink writes to."""

    name: str
    is_once: bool
    """Whether a record may be there once only."""

    def environment(self) -> dict[str, str]: ...
    def away(self) -> None: ...
    def back(self) -> None: ...
    def mend(self) -> None:
        """What whoever runs it does when there is room on its disk again."""
        ...

    def rows(self) -> Iterator[Row]: ...
    def count(self) -> int: ...
    def close(self) -> None: ...


def _of_json(record: dict[str, Any], place: Place) -> Row:
    if "value_base64" in record:
        return place, base64.b64decode(record["value_base64"])
    value = record["value"]
    if value is None or isinstance(value, dict):
        return place, None if value is None else value.get("transaction_id")
    return place, json.dumps(value).encode()


@dataclass
class Files:
    """A folder. Away: a folder is in the place of each file; who has them open notices at the next start."""

    folder: Path
    name: str = "jsonl"
    is_once: bool = True

    def environment(self) -> dict[str, str]:
        return {"STREAMGUARD_SINK_FILES": str(self.folder / "copies")}

    def away(self) -> None:
        (self.folder / "copies").rename(self.folder / "aside")
        for number in range(3):
            (self.folder / "copies" / f"transactions-{number}.jsonl").mkdir(parents=True)

    def back(self) -> None:
        (self.folder / "copies").rename(self.folder / "hindrance")
        (self.folder / "aside").rename(self.folder / "copies")

    def mend(self) -> None:
        pass

    def rows(self) -> Iterator[Row]:
        for file in sorted((self.folder / "copies").glob("*.jsonl")):
            topic, _, partition = file.name.split(".")[0].rpartition("-")
            for line in file.read_bytes().splitlines():
                record = json.loads(line)
                yield _of_json(record, (topic, int(partition), record["offset"]))

    def count(self) -> int:
        return len({place for place, _ in self.rows()})

    def close(self) -> None:
        pass


@dataclass
class Lake:
    """A folder. Away: a file is in its place."""

    folder: Path
    name: str = "lake"
    is_once: bool = True

    def environment(self) -> dict[str, str]:
        return {"LAKE_URI": str(self.folder / "lake"), "STREAMGUARD_LAKE_BATCH_S": "0.5"}

    def away(self) -> None:
        (self.folder / "lake").rename(self.folder / "aside")
        (self.folder / "lake").write_text("in the way")

    def back(self) -> None:
        (self.folder / "lake").unlink()
        (self.folder / "aside").rename(self.folder / "lake")

    def mend(self) -> None:
        pass

    def rows(self) -> Iterator[Row]:
        return _lake_rows(str(self.folder / "lake"))

    def count(self) -> int:
        return _lake_count(str(self.folder / "lake"))

    def close(self) -> None:
        pass


@dataclass
class LakeInBucket:
    """Object storage. Away: it answers nothing."""

    folder: Path
    name: str = "lake"
    is_once: bool = True
    storage: ObjectStorage = field(init=False)

    def __post_init__(self) -> None:
        self.storage = ObjectStorage(self.folder).start()

    def environment(self) -> dict[str, str]:
        return {"LAKE_URI": f"s3://{BUCKET}/lake", "STREAMGUARD_LAKE_BATCH_S": "0.5", **self.storage.access}

    def away(self) -> None:
        self.storage.stop()

    def back(self) -> None:
        self.storage.go_on()

    def mend(self) -> None:
        pass

    def rows(self) -> Iterator[Row]:
        return _lake_rows(f"s3://{BUCKET}/lake", self.storage.access)

    def count(self) -> int:
        return _lake_count(f"s3://{BUCKET}/lake", self.storage.access)

    def close(self) -> None:
        self.storage.kill()


def _lake_tables(uri: str, access: Mapping[str, str]) -> Iterator[tuple[str, DeltaTable]]:
    for table in TABLES:
        if DeltaTable.is_deltatable(f"{uri}/{table}", dict(access)):
            yield table, DeltaTable(f"{uri}/{table}", storage_options=dict(access))


def _lake_rows(uri: str, access: Mapping[str, str] = MappingProxyType({})) -> Iterator[Row]:
    for name, table in _lake_tables(uri, access):
        what = "value" if name == "rejected" else "transaction_id"
        for row in table.to_pyarrow_table(columns=["topic", "partition", "offset", what]).to_pylist():
            yield (row["topic"], row["partition"], row["offset"]), row[what]


def _lake_count(uri: str, access: Mapping[str, str] = MappingProxyType({})) -> int:
    return sum(table.count() for _, table in _lake_tables(uri, access))


@dataclass
class Mongo:
    """SecantusDB. Away: it was killed."""

    folder: Path
    name: str = "mongodb"
    is_once: bool = True
    server: MongoProcess = field(init=False)

    def __post_init__(self) -> None:
        self.server = MongoProcess(self.folder / "mongodb").start()

    def environment(self) -> dict[str, str]:
        return {"MONGODB_URL": f"{self.server.url}?serverSelectionTimeoutMS=500"}

    def away(self) -> None:
        self.server.kill()

    def back(self) -> None:
        self.server.start()

    def mend(self) -> None:
        # WiredTiger makes an end of itself where its journal has no room, in MongoDB as here.
        self.server.kill()
        self.server.start()

    def rows(self) -> Iterator[Row]:
        client: Any = pymongo.MongoClient(self.server.url)
        try:
            for table in TABLES:
                for row in client.get_default_database()[table].find():
                    what = "value" if table == "rejected" else "transaction_id"
                    yield (row["topic"], row["partition"], row["offset"]), row[what]
        finally:
            client.close()

    def count(self) -> int:
        with closing(pymongo.MongoClient[Any](self.server.url)) as client:
            return sum(client.get_default_database()[table].count_documents({}) for table in TABLES)

    def close(self) -> None:
        self.server.kill()


@dataclass
class Snowflake:
    """fakesnow. Away: it was killed."""

    folder: Path
    name: str = "snowflake"
    is_once: bool = True
    server: SnowflakeProcess = field(init=False)

    def __post_init__(self) -> None:
        self.server = SnowflakeProcess(self.folder / "snowflake").start()

    def environment(self) -> dict[str, str]:
        access = {"ACCOUNT": self.server.url, "USER": "u", "PASSWORD": "p", "BATCH_S": "0.5"}
        return {f"STREAMGUARD_SNOWFLAKE_{name}": value for name, value in access.items()}

    def away(self) -> None:
        self.server.kill()

    def back(self) -> None:
        self.server.start()

    def mend(self) -> None:
        pass

    def rows(self) -> Iterator[Row]:
        for table in TABLES:
            what = "value" if table == "rejected" else "transaction_id"
            question = f"SELECT topic, partition_no, record_offset, {what} FROM {table}"
            for topic, partition, offset, found in self.server.ask("STREAMGUARD", question):
                yield (topic, partition, offset), bytes(found) if isinstance(found, bytearray) else found

    def count(self) -> int:
        return sum(self.server.ask("STREAMGUARD", f"SELECT count(*) FROM {table}")[0][0] for table in TABLES)

    def close(self) -> None:
        self.server.kill()


@dataclass
class Webhook:
    """A receiver. Away: it answers 503. A crash may send a batch again."""

    folder: Path
    name: str = "http"
    is_once: bool = False
    receiver: Receiver = field(init=False)

    def __post_init__(self) -> None:
        self._status = 204
        self._taken: list[bytes] = []
        self.receiver = Receiver(self._answer)
        self.receiver.__enter__()

    def _answer(self, got: Any) -> int:
        if self._status == 204:
            self._taken.append(got.body)
        return self._status

    def environment(self) -> dict[str, str]:
        return {"STREAMGUARD_SINK_WEBHOOK_URL": self.receiver.url}

    def away(self) -> None:
        self._status = 503

    def back(self) -> None:
        self._status = 204

    def mend(self) -> None:
        pass

    def rows(self) -> Iterator[Row]:
        for body in list(self._taken):
            for record in json.loads(body):
                yield _of_json(record, (record["topic"], record["partition"], record["offset"]))

    def count(self) -> int:
        return len({place for place, _ in self.rows()})

    def close(self) -> None:
        self.receiver.__exit__(None, None, None)


KINDS: dict[str, Any] = {
    "jsonl": Files,
    "lake": Lake,
    "lake in a bucket": LakeInBucket,
    "mongodb": Mongo,
    "http": Webhook,
    "snowflake": Snowflake,
}
