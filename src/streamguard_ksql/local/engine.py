"""The local engine: which queries there are, and what each is given.

A batch runs through the queries in the order in which their topics depend on each other, in that of their statements
where they do not: a query is given all that those before it made of the batch, in one go.
"""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.engine import Engine, PersistentQuery
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.functions.registry import CLOCK, wall_clock_ms
from streamguard_ksql.inserts import insert_values_record
from streamguard_ksql.local.query import LocalQuery
from streamguard_ksql.local.rows import HandOver, hands_over
from streamguard_ksql.local.topics import LocalTopics
from streamguard_ksql.operators.base import ProcessingError
from streamguard_ksql.operators.order import merge_by_time
from streamguard_ksql.operators.record import Batch, InputRecord, Record
from streamguard_ksql.parser import parse_statement, split_statements
from streamguard_ksql.runtime.streams import from_beginning
from streamguard_ksql.variables import substitute

Listener = Callable[[Sequence[InputRecord]], None]
"""Gets the records written to a topic, in order, with their partitions and offsets."""
Exchange = Callable[[str, list[Record]], list[Record]]
"""Gives, for the rows that this engine wrote to a topic, those of all engines that share the work, in order."""
ERRORS_KEPT = 1_000


class LocalEngine:
    """An engine whose queries run when they are fed. One thread; memory is that of the queries' states.

    partitions: of topics that no statement and no entry of `topics` says otherwise of. topics: partitions by name.
    properties: settings by full name, as `SET` gives them. clock: milliseconds, of UNIX_TIMESTAMP() and INSERT VALUES.
    A listener of a topic gets what queries and INSERT VALUES write to it; what nobody reads is dropped.
    only_listened: queries whose results reach no listener, directly or through others, are planned and do not run.
    """

    def __init__(
        self,
        partitions: int = 1,
        properties: Mapping[str, Any] | None = None,
        clock: Callable[[], int] = wall_clock_ms,
        topics: Mapping[str, int] | None = None,
        *,
        only_listened: bool = False,
    ) -> None:
        self.topics = LocalTopics(topics or {})
        self.engine = Engine(self.topics, {**(properties or {}), CLOCK: clock})
        self.queries: dict[str, LocalQuery] = {}
        """By id, also those that have ended (`LocalQuery.failure`): what each read, wrote and left out."""
        self.errors: deque[ProcessingError] = deque(maxlen=ERRORS_KEPT)
        """The last entries of the processing log; `LocalQuery.errors` counts all."""
        self.unread: Counter[str] = Counter()
        """Records that were fed of topics that no query reads and nobody listens to."""
        self._partitions = partitions
        self._clock = clock
        self._only_listened = only_listened
        self._variables: dict[str, str] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._order: list[LocalQuery] = []
        self._readers: dict[str, list[LocalQuery]] = {}
        self._written: dict[str, list[tuple[LocalQuery | None, list[Any]]]] = {}
        """By topic what was made for it and is not yet stored, by who made it; None is INSERT VALUES."""
        self._hand_overs: dict[str, HandOver | None] = {}
        self._exchange: Exchange | None = None
        self._exchanged: frozenset[str] = frozenset()
        self._later: set[str] = set()
        """The queries that read what is exchanged, directly or through others."""
        self._waits_for_more = False
        self._to_exchange: set[str] = set()
        """What has not yet been exchanged of the batch that is being processed."""

    # --- statements ---------------------------------------------------------------------------------------------------

    def run(self, statements: str | Iterable[ast.Statement]) -> None:
        """Carry out statements in order; KsqlError where one is refused. A text may have DEFINE, SET and their like.

        A query reads what is fed after it, and every row of INSERT VALUES since the last `feed`: one that has to read
        from the beginning of a topic of which records have gone by is refused.
        """
        if not isinstance(statements, str):
            for statement in statements:
                self.execute(statement)
            return
        for text, _ in split_statements(statements):
            self.execute(parse_statement(substitute(text, self._variables)))

    def execute(self, statement: ast.Statement) -> None:
        """Carry out one statement; KsqlError where it is refused."""
        config = self.engine.config
        match statement:
            case ast.Define(name, value):
                self._variables[name.lower()] = value
            case ast.Undefine(name):
                self._variables.pop(name.lower(), None)
            case ast.SetProperty(name, value):
                config[name] = value
            case ast.UnsetProperty(name):
                config.pop(name, None)
            case ast.InsertValues():
                record = insert_values_record(statement, self.engine.catalog, config, self._clock)
                self._written.setdefault(record.topic, []).append((None, [record]))
            case _:
                self._apply(statement)

    def _apply(self, statement: ast.Statement) -> None:
        if isinstance(statement, ast.CreateSource):
            self.topics.assume(statement, self._partitions)
        before = self.engine.catalog.copy(), dict(self.engine.queries)
        outcome = self.engine.execute(statement)
        try:
            self._check_beginning(outcome.query)
        except KsqlError:
            self.engine.catalog, self.engine.queries = before
            raise
        for query_id in outcome.terminated:
            self.queries.pop(query_id, None)
        if outcome.query is not None:
            self._start(outcome.query)
        self._connect()

    def _connect(self) -> None:
        """Find out which queries run, in which order, and who reads what."""
        queries = list(self.queries.values())
        if self._only_listened:
            queries = _leading_to(set(self._listeners), queries)
        self._order = _in_order(queries)
        later, found = set(self._exchanged), set[str]()
        for query in self._order:
            if not later.isdisjoint(query.topics):
                found.add(query.query.query_id)
                later.update(sink.topic for sink in query.query.sinks)
        self._later = found
        self._hand_overs.clear()
        self._readers = {t: [q for q in self._order if t in q.topics] for query in self._order for t in query.topics}

    def _start(self, query: PersistentQuery) -> None:
        replaced = self.queries.get(query.query_id)
        partitions = {s.topic: self.topics.partitions(s.topic) or 1 for s in query.sources}
        stores = None if replaced is None else replaced.stores
        self.queries[query.query_id] = LocalQuery(query, partitions, self.errors.append, stores)

    def _check_beginning(self, query: PersistentQuery | None) -> None:
        """KsqlError for a new query that would have to be given records that have gone by."""
        if query is None or query.query_id in self.queries:
            return
        for topic in sorted(from_beginning(query.plan, query.config)):
            if self.topics.has_records(topic):
                raise KsqlError(
                    f"Query {query.query_id} has to read topic '{topic}' from its beginning, but records of it have gone "
                    "by: run all statements before the first records are fed."
                )

    @property
    def running(self) -> list[LocalQuery]:
        """The queries that run, those that write a topic before those that read it."""
        return list(self._order)

    # --- records ------------------------------------------------------------------------------------------------------

    def listen(self, topic: str, listener: Listener) -> None:
        """Give a listener what is written to a topic, at the end of each `feed`."""
        self._listeners.setdefault(topic, []).append(listener)
        self._connect()

    def exchange(self, topics: Sequence[str], exchange: Exchange) -> None:
        """Read of these topics what `exchange` gives: it is called once for each of them in every `feed` without `more`.

        They are topics whose rows reach their readers without becoming bytes (`hands_over`).
        """
        self._exchanged, self._exchange = frozenset(topics), exchange
        self._connect()

    def hands_over(self, topic: str) -> bool:
        """Whether the rows of a topic reach its readers as they are, and nobody listens to it."""
        return self._hand_over(topic) is not None

    def feed(self, records: Sequence[InputRecord] = (), *, more: bool = False) -> None:
        """Run all queries over records, in the order in which they are to be seen, and over what follows from them.

        With `more`, queries that read what is exchanged wait for the next records. KsqlError for a record of a partition that
        its topic does not have.
        """
        self.feed_topics(by_topic(records), more=more)

    def feed_topics(self, batches: Mapping[str, Batch], *, more: bool = False) -> None:
        """The same for records by their topics: what is read of a batch is read once for all engines that are given it."""
        self._waits_for_more = more
        with _without_collector():
            self._to_exchange.update(() if more else self._exchanged)
            for topic, found in batches.items():
                self.topics.received(topic, found)
                if not self._deliver(topic, found):
                    self.unread[topic] += len(found)
            while self._pass():
                pass
            for topic in list(self._written):
                self._store(topic)

    def _pass(self) -> bool:
        """Give each query what there is for it; whether there was anything."""
        progress = False
        for query in self._order:
            if self._waits_for_more and query.query.query_id in self._later:
                continue
            for topic in query.topics:
                self._store(topic)
            if query.waits:
                progress = True
                self._keep(query, query.process())
        return progress

    def _keep(self, query: LocalQuery, made: list[Any]) -> None:
        """Keep results until all that a batch adds to their topic is there."""
        for sink in query.query.sinks if made else ():
            is_wanted = sink.topic in self._readers or sink.topic in self._listeners
            if is_wanted or not query.gives_rows:
                self._written.setdefault(sink.topic, []).append((query, made))

    def _store(self, topic: str) -> None:
        """Store what was written to a topic, in the order of time, and pass it on."""
        if self._waits_for_more and topic in self._exchanged:
            return
        written = self._written.pop(topic, None)
        hand_over = self._hand_over(topic)
        if topic in self._to_exchange and self._exchange is not None and hand_over is not None:
            self._to_exchange.discard(topic)
            rows = self._exchange(topic, merge_by_time([made for _, made in written or ()]))
            self._deliver(topic, hand_over.batch(rows))
            return
        if written is None:
            return
        if hand_over is not None and all(query is not None for query, _ in written):
            self._deliver(topic, hand_over.batch(merge_by_time([made for _, made in written])))
            return
        records = [made if query is None else query.written(made) for query, made in written]
        stored = self.topics.stored(merge_by_time(records))
        self._deliver(topic, Batch(stored))
        for listener in self._listeners.get(topic, ()):
            listener(stored)

    def _hand_over(self, topic: str) -> HandOver | None:
        """How rows of a topic reach its readers as they are; None where they have to become bytes."""
        if topic not in self._hand_overs:
            targets = [sink for query in self._order for sink in query.query.sinks if sink.topic == topic]
            readers = [r for query in self._readers.get(topic, ()) for t, r in query.readers if t == topic]
            possible = (
                bool(targets)
                and topic not in self._listeners
                and all(target == targets[0] for target in targets)
                and all(hands_over(targets[0], reader) for reader in readers)
            )
            self._hand_overs[topic] = HandOver(targets[0], readers, self.topics) if possible else None
        return self._hand_overs[topic]

    def _deliver(self, topic: str, batch: Batch) -> bool:
        """Pass records to the queries that read their topic; whether there are any."""
        readers = self._readers.get(topic, ())
        for query in readers:
            query.receive(topic, batch)
        return bool(readers)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Rows refer to each other in no circle, and there are so many that looking for circles would take half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def by_topic(records: Iterable[InputRecord]) -> dict[str, Batch]:
    """Records of several topics as a batch of each, in their order."""
    found: dict[str, list[InputRecord]] = {}
    for record in records:
        known = found.get(record[0])
        if known is None:
            known = found[record[0]] = []
        known.append(record)
    return {topic: Batch(records) for topic, records in found.items()}


def _leading_to(topics: set[str], queries: Sequence[LocalQuery]) -> list[LocalQuery]:
    """The queries whose results reach one of the topics, in their order."""
    wanted, found = set(topics), set[str]()
    while more := [
        query
        for query in queries
        if query.query.query_id not in found and any(sink.topic in wanted for sink in query.query.sinks)
    ]:
        found |= {query.query.query_id for query in more}
        wanted |= {topic for query in more for topic in query.topics}
    return [query for query in queries if query.query.query_id in found]


def _in_order(queries: list[LocalQuery]) -> list[LocalQuery]:
    """Those that write a topic before those that read it; as they are where they read each other in a circle."""
    numbers = range(len(queries))
    writers: dict[str, list[int]] = {}
    for i in numbers:
        for sink in queries[i].query.sinks:
            writers.setdefault(sink.topic, []).append(i)
    sorter = TopologicalSorter({i: [w for t in queries[i].topics for w in writers.get(t, ())] for i in numbers})
    try:
        sorter.prepare()
    except CycleError:
        return queries
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found += [queries[i] for i in ready]
        sorter.done(*ready)
    return found
