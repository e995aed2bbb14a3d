"""MongoDB: a document for each record, in the collections `transactions`, `fraud_alerts`, `decisions` and `rejected`.

The `_id` is TOPIC-PARTITION-OFFSET: a record that is written again is no second document. The collection `sink_offsets` says
where to continue; it is written behind the documents, so what a crash leaves without an offset is written again and found
there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.config.ksqldb import without_login
from streamguard.models.records import BadRecord
from streamguard.sinks.base import SinkError, SinkRecord, SinkUnavailable, sink
from streamguard.sinks.documents import document, rejected
from streamguard.sinks.typed import REJECTED, TABLES, tables_of

OFFSETS = "sink_offsets"
_ANSWER_MS = 5_000
_DUPLICATE = 11_000
_PASSING = {
    *(91, 189, 10107, 11600, 11602, 13435, 13436),  # the server stops, or another one is the primary
    *(64, 50, 262),  # no answer in time
    14031,  # its disk is full
}
"""Error codes of a server that takes the same documents later (error_codes.yml of MongoDB)."""
_INDEXES = {
    "transactions": [["account_id", "event_time"], ["merchant_id", "event_time"], ["event_time"], ["transaction_id"]],
    "fraud_alerts": [["account_id", "detected_at"], ["alert_id"]],
    "decisions": [["account_id", "decided_at"], ["alert_id"]],
    REJECTED: [["topic"]],
}
_STORED_AT = "stored_at"
_DAY_S = 86_400


def _url(settings: Settings) -> str:
    url = settings.mongodb_url.get_secret_value()
    if not url:
        raise SinkError(
            "the sink mongodb has no destination: set MONGODB_URL, such as mongodb://127.0.0.1:27017/streamguard"
        )
    return url


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "tables": tables_of(settings),
        "database": settings.mongodb_database,
        "days": settings.mongodb_days,
    }


@sink("mongodb", destination=_url, options=_options, extra="mongodb", module="pymongo")
class MongoSink:
    """Writes to the database of a URL, or to `database` where that names none.

    `days`: after how many days MongoDB removes a document, 0 never. Several processes do no harm: a document is there once, and
    offsets never go back.
    """

    def __init__(
        self,
        destination: str,
        *,
        tables: Mapping[str, str] | None = None,
        database: str = "streamguard",
        days: int = 0,
    ) -> None:
        self._mongo: Any = need("mongodb", "pymongo")
        self._errors: Any = need("mongodb", "pymongo.errors")
        self._shown = without_login(destination).partition("?")[0]
        self._tables = dict(tables or {name: name for name in TABLES})
        self._days = days
        self._is_prepared = False
        waits = {"serverSelectionTimeoutMS": _ANSWER_MS, "connectTimeoutMS": _ANSWER_MS, "socketTimeoutMS": 60_000}
        # Those of the URL are its own; durability is not for it to say.
        given = {name: ms for name, ms in waits.items() if f"{name}=".lower() not in destination.lower()}
        try:
            self._client = self._mongo.MongoClient(
                destination, appname="streamguard-sink", tz_aware=True, w="majority", journal=True, **given
            )
            self._database = self._client.get_default_database(database)
        except (self._errors.PyMongoError, ValueError, TypeError) as error:
            raise SinkError(f"MONGODB_URL: {self._shown} cannot be used: {error}") from None

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """What `sink_offsets` has; makes the indexes at the first call."""
        try:
            if not self._is_prepared:
                self._prepare()
                self._is_prepared = True
            return {row["partition"]: row["next_offset"] for row in self._database[OFFSETS].find({"topic": topic})}
        except self._errors.PyMongoError as error:
            raise self._failed(error) from None

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Insert the documents, then move the offsets; both by a majority, in the journal."""
        found: dict[str, list[dict[str, Any]]] = {}
        stored_at = datetime.now(timezone.utc)
        for record in records:
            table, fields = self._document(record)
            found.setdefault(table, []).append({**fields, _STORED_AT: stored_at})
        try:
            for table, documents in found.items():
                self._insert(table, documents)
            self._move(records)
        except self._errors.PyMongoError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        self._client.close()

    def _document(self, record: SinkRecord) -> tuple[str, dict[str, Any]]:
        table = self._tables.get(record.topic, REJECTED)
        try:
            if table == REJECTED:
                raise BadRecord(f"the topic {record.topic} has no collection")
            return table, document(table, record)
        except BadRecord as error:
            return REJECTED, rejected(record, str(error))

    def _insert(self, table: str, documents: list[dict[str, Any]]) -> None:
        try:
            self._database[table].insert_many(documents, ordered=False)
        except self._errors.BulkWriteError as error:
            # What is there already is the same record.
            if any(one["code"] != _DUPLICATE for one in error.details.get("writeErrors", [])):
                raise
            if error.details.get("writeConcernErrors"):
                raise

    def _move(self, records: Sequence[SinkRecord]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for record in records:
            place = (record.topic, record.partition)
            ends[place] = max(ends.get(place, 0), record.offset + 1)
        self._database[OFFSETS].bulk_write(
            [
                self._mongo.UpdateOne(
                    {"_id": f"{topic}-{partition}"},
                    {"$max": {"next_offset": end}, "$setOnInsert": {"topic": topic, "partition": partition}},
                    upsert=True,
                )
                for (topic, partition), end in ends.items()
            ]
        )

    def _prepare(self) -> None:
        """The indexes, and how long documents stay; each is left as it is where it is right."""
        for table, indexes in _INDEXES.items():
            collection = self._database[table]
            for fields in indexes:
                collection.create_index([(field, 1) for field in fields])
            wanted = self._days * _DAY_S
            has = collection.index_information().get(_STORED_AT, {}).get("expireAfterSeconds", 0)
            if has and has != wanted:
                collection.drop_index(_STORED_AT)
            if wanted and has != wanted:
                collection.create_index([(_STORED_AT, 1)], name=_STORED_AT, expireAfterSeconds=wanted)

    def _failed(self, error: Exception) -> SinkError:
        details = getattr(error, "details", None) or {}
        refused = [one for one in details.get("writeErrors", []) if one["code"] != _DUPLICATE]
        if wrong := [one["errmsg"] for one in refused if one["code"] not in _PASSING]:
            return SinkError(f"MongoDB at {self._shown} rejects a document: {wrong[0][:300]}")
        said = [one["errmsg"] for one in (*refused, *details.get("writeConcernErrors", [])) if "errmsg" in one]
        # What pymongo goes on to say of timeouts, topologies and answers helps nobody here.
        text = re.split(
            r" \(configured timeouts|, Timeout: |, full error: ", " ".join((said or [str(error)])[0].split())
        )[0]
        return SinkUnavailable(f"MongoDB at {self._shown} (MONGODB_URL) takes no documents: {text[:300]}")
