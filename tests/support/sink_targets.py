"""The destinations of all sinks, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo

from tests.support.lake_targets import Lake, LakeInBucket
from tests.support.mongodb import MongoProcess
from tests.support.receiver import Receiver
from tests.support.sink_target import TABLES, Row, Target, row_of_json
from tests.support.snowflake import SnowflakeProcess


@dataclass
class Files(Target):
    """A folder. Away: a folder is in the place of each file; who has them open notices at the next start."""

    folder: Path
    name: str = "jsonl"

    def environment(self) -> dict[str, str]:
        return {"STREAMGUARD_SINK_FILES": str(self.folder / "copies")}

    def away(self) -> None:
        (self.folder / "copies").rename(self.folder / "aside")
        for number in range(3):
            (self.folder / "copies" / f"transactions-{number}.jsonl").mkdir(parents=True)

    def back(self) -> None:
        (self.folder / "copies").rename(self.folder / "hindrance")
        (self.folder / "aside").rename(self.folder / "copies")

    def rows(self) -> Iterator[Row]:
        for file in sorted((self.folder / "copies").glob("*.jsonl")):
            topic, _, partition = file.name.split(".")[0].rpartition("-")
            for line in file.read_bytes().splitlines():
                record = json.loads(line)
                yield row_of_json(record, (topic, int(partition), record["offset"]))


@dataclass
class Mongo(Target):
    """SecantusDB. Away: it was killed."""

    folder: Path
    name: str = "mongodb"
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
class Snowflake(Target):
    """fakesnow. Away: it was killed."""

    folder: Path
    name: str = "snowflake"
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
class Webhook(Target):
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

    def rows(self) -> Iterator[Row]:
        for body in list(self._taken):
            for record in json.loads(body):
                yield row_of_json(record, (record["topic"], record["partition"], record["offset"]))

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
