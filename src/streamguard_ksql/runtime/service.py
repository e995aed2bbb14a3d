"""The running engine: catalogue and queries on a Kafka, kept over restarts by the command topic.

1. `KafkaRuntime(...)` waits for Kafka, replays the command topic into the engine, and starts every query it ends up with.
2. `submit` tries a statement on a copy, writes it to the command topic, then carries it out: what is not on disk never
   happened, what is on disk happens again after a restart.
3. As one of several engines of a service (`me`) it follows the command topic, runs its share of the queries (`sharing`),
   and asks the others for rows that they have (`peers`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

from confluent_kafka import KafkaException, TopicPartition

from streamguard_ksql import ast
from streamguard_ksql.engine import Engine, Outcome, PersistentQuery
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.limits import Limits
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.plan import Node
from streamguard_ksql.planning.planner import PlannedQuery, plan_query
from streamguard_ksql.refusals import accepted_before
from streamguard_ksql.runtime import clients, names, processing_log, pull
from streamguard_ksql.runtime.api import EngineInfo, Properties, PullResult, QueryStats, RowStream, Submitted, TopicInfo
from streamguard_ksql.runtime.clients import KafkaTopics, KafkaUnavailable, Message, Servers
from streamguard_ksql.runtime.command_ids import command_id
from streamguard_ksql.runtime.commands import Command, CommandLog, Superseded
from streamguard_ksql.runtime.follower import Follower
from streamguard_ksql.runtime.inserter import Inserter
from streamguard_ksql.runtime.peers import with_others
from streamguard_ksql.runtime.processing_log import ProcessingLog
from streamguard_ksql.runtime.pulse import Statement
from streamguard_ksql.runtime.push import Connection, PushQuery
from streamguard_ksql.runtime.query import QueryRunner
from streamguard_ksql.runtime.sandbox import SandboxTopics
from streamguard_ksql.runtime.scans import Scans
from streamguard_ksql.runtime.sharing import Alone, Member, Membership, Sharing, wait_for_slots
from streamguard_ksql.runtime.streams import streams_property
from streamguard_ksql.runtime.tables import Asked, Tables, pull_id
from streamguard_ksql.runtime.topic_lines import print_topic
from streamguard_ksql.runtime.trials import Trials
from streamguard_ksql.runtime.upgrades import check_upgrade
from streamguard_ksql.runtime.watch import Watch, Watched
from streamguard_ksql.runtime.watcher import Watcher
from streamguard_ksql.schema import Column

log = logging.getLogger(__name__)
START_TIMEOUT_S = 60.0
STILL_S = 30.0
"""How long queries may take to commit before their shares are given to others."""
CLAIMS = 20
LAST_BATCH_S = 2.0
"""How long the batch of a query that is terminated may still take."""
STATE_DIR = "ksql.streams.state.dir"


class KafkaRuntime:
    """See `streamguard_ksql.runtime.api.Runtime`."""

    def __init__(
        self,
        bootstrap_servers: Servers,
        service_id: str = "default_",
        config: Mapping[str, Any] | None = None,
        *,
        me: Member | None = None,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        self.servers = bootstrap_servers
        self.service_id = service_id
        self.lock = threading.RLock()
        self._topics = KafkaTopics(bootstrap_servers)
        self.cluster_id = self._wait_for_log()
        self.engine = Engine(self._topics, dict(config or {}))
        self._runners: dict[str, QueryRunner] = {}
        self._passing: WeakSet[Any] = WeakSet()
        """What computes for one client: push queries and statements."""
        self._passing_lock = threading.Lock()
        self._closed = False
        log_topic = names.processing_log_topic(service_id)
        self._topics.create(log_topic, 1, {})
        self._report = ProcessingLog(bootstrap_servers, log_topic)
        self._inserter = Inserter(bootstrap_servers)
        self._scans = Scans(bootstrap_servers)
        self._membership = None if me is None else self._membership_of(me, on_taken)
        self._sharing: Sharing = self._membership or Alone()
        self._tables = Tables(self._membership, self.bounded, self._report)
        self._commands = CommandLog(
            bootstrap_servers, self._topics, names.command_topic(service_id), names.commands_id(service_id)
        )
        self.engine.catalog.add(processing_log.source(log_topic))
        folder = self.engine.config.get(STATE_DIR)
        self._trials = Trials(None if folder is None else Path(folder))
        self._replay()
        self._watcher = Watcher(self._topics, lambda: list(self._runners.values()))
        self._watcher.start()
        self._watch = Watch(self._works, Limits.of(self.engine.config), self._note)
        self._watch.start()
        self._follower: Follower | None = None
        if self._membership is not None:
            self._follower = Follower(self.servers, self._commands.topic, self._commands.next_offset, self._follow)
            self._follower.start()
            self._membership.start()
            wait_for_slots(self._membership)

    def _membership_of(self, me: Member, on_taken: Callable[[], None]) -> Membership:
        """Raises KafkaUnavailable, a sentence, where engines of another version share the service."""
        found = Membership(
            self.servers, self._topics, self.service_id, me, on_release=self._stand_still, on_taken=on_taken
        )
        for other in found.members():
            if other.version != me.version:
                raise KafkaUnavailable(
                    f"The engine {other.name} at {other.address} has version {other.version}, and this one {me.version}: "
                    f"engines that share a service id are of one version; stop the others first."
                )
        return found

    def _stand_still(self) -> None:
        """Wait until all queries have committed what they have done, before others may have their shares."""
        deadline = time.monotonic() + STILL_S
        for runner in list(self._runners.values()):
            if not runner.holding.still.wait(max(0.0, deadline - time.monotonic())):
                log.warning("query %s is still at work as its share is given up", runner.query_id)

    def _works(self) -> list[Watched]:
        with self._passing_lock:
            return [*list(self._runners.values()), *list(self._passing)]

    def _note(self, suspects: Mapping[str, str]) -> None:
        threads = {str(r.pulse.thread.ident): r.query_id for r in list(self._runners.values())}
        self._trials.note({q: why for q, why in suspects.items() if q in self._runners}, threads)

    def _wait_for_log(self) -> str:
        """The cluster's id, once Kafka answers; KafkaUnavailable after a minute, or at once where it refuses us."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                found = self._topics.admin.list_topics(timeout=2)
                return str(found.cluster_id or "")
            except KafkaException as error:
                if refused := self._topics.refused:
                    raise KafkaUnavailable(f"Kafka at {self.servers} cannot be used: {refused}") from error
                if time.monotonic() > deadline:
                    raise KafkaUnavailable(
                        f"Kafka at {self.servers} did not answer for {START_TIMEOUT_S:.0f} s ({error.args[0].str()}): "
                        "is it running, and is the address right (KAFKA_BOOTSTRAP_SERVERS)?"
                    ) from error

    def _replay(self) -> None:
        """Bring the catalogue to where the command topic ends, then start the queries that are left.

        Topics are neither created nor deleted on the way: a statement that once deleted one must not do so again. What
        is missing at the end is created, and what ended queries left behind is removed.
        """
        topics = SandboxTopics(self._topics.all())
        self.engine.topics = topics
        self.engine.replaying = True
        paused: set[str] = set()
        ended: set[str] = set()
        before = accepted_before.set(True)
        try:
            for command in self._commands.replay():
                ended.update(self._repeat(command, topics, paused))
        finally:
            accepted_before.reset(before)
        self.engine.topics = self._topics
        self.engine.replaying = False
        for name, (partitions, config) in topics.missing(s.topic for s in self.engine.catalog.sources.values()).items():
            self._topics.create(name, partitions, config)
        for query_id in ended - set(self.engine.queries):
            changelog = names.changelog_topic(self.service_id, query_id)
            if topics.exists(changelog):
                self._topics.delete(changelog)
        for query in self.engine.queries.values():
            self._start(query, paused=query.query_id in paused)
        log.info("%d sources and %d queries are back", len(self.engine.catalog.sources), len(self._runners))

    def _repeat(self, command: Command, topics: SandboxTopics, paused: set[str]) -> tuple[str, ...]:
        """Carry out a statement of the command topic; the queries it ended."""
        try:
            statement = parse_statement(command.text)
            self.engine.next_number = command.number
            if isinstance(statement, (ast.Pause, ast.Resume)):
                self._mark_paused(statement, paused)
                return ()
            if isinstance(statement, ast.CreateSource):
                topics.assume(statement)
            outcome = self.engine.execute(statement, command.properties)
            paused.difference_update(outcome.terminated)
            return outcome.terminated
        except KsqlError as error:
            log.error("command %d is left out: %s (%s)", command.offset, error, command.text)
            return ()

    def _mark_paused(self, statement: ast.Pause | ast.Resume, paused: set[str]) -> None:
        ids = list(self.engine.queries) if statement.query_id is None else [statement.query_id]
        if isinstance(statement, ast.Pause):
            paused.update(ids)
        else:
            paused.difference_update(ids)

    # --- statements ---------------------------------------------------------------------------------------------------

    def submit(self, statement: ast.Statement, properties: Properties, text: str) -> Submitted:
        for _ in range(CLAIMS):
            try:
                return self._submit(statement, properties, text)
            except Superseded:
                log.info("another engine has written to the command topic: %s is tried again", statement.text)
        raise KafkaUnavailable("Other engines keep writing to the command topic: send the statement again.")

    def _submit(self, statement: ast.Statement, properties: Properties, text: str) -> Submitted:
        with self.lock:
            self._commands.claim()
            self._catch_up()
            if isinstance(statement, (ast.Pause, ast.Resume)):
                return self._pause_or_resume(statement, text)
            trial = replace(
                self.engine,
                topics=SandboxTopics(self._topics.all(), self._topics.shape),
                catalog=self.engine.catalog.copy(),
                queries=dict(self.engine.queries),
            )
            outcome = trial.execute(statement, properties)
            if outcome.query is not None:
                check_upgrade(self.engine.queries.get(outcome.query.query_id), outcome.query)
            if outcome.skipped:
                return Submitted(outcome, -1)
            command = self._commands.append(command_id(statement, outcome), text, properties)
            self.engine.next_number = command.number
            outcome = self.engine.execute(statement, properties)
            self._carry_out(outcome)
            return Submitted(outcome, command.offset)

    def _catch_up(self) -> None:
        """Carry out a statement whose writing was not acknowledged, if it was written after all, and those of other engines."""
        if self._commands.doubtful:
            self._carry_out_all(self._commands.replay())

    def _carry_out_all(self, commands: Iterable[Command]) -> None:
        topics = SandboxTopics(self._topics.all())
        for command in commands:
            try:
                self._carry_out_written(command, topics)
            except KsqlError as error:
                log.error("command %d is left out: %s (%s)", command.offset, error, command.text)

    def _carry_out_written(self, command: Command, topics: SandboxTopics) -> None:
        """A statement that was accepted when it was written. Its topics are there, made by who wrote it, or are made now."""
        statement = parse_statement(command.text)
        self.engine.next_number = command.number
        if isinstance(statement, (ast.Pause, ast.Resume)):
            self._set_paused(statement)
            return
        if isinstance(statement, ast.CreateSource):
            topics.assume(statement)
        self.engine.topics, self.engine.replaying = topics, True
        before = accepted_before.set(True)
        try:
            outcome = self.engine.execute(statement, command.properties)
        finally:
            accepted_before.reset(before)
            self.engine.topics, self.engine.replaying = self._topics, False
        wanted = (source.topic for source in self.engine.catalog.sources.values())
        for name, (partitions, config) in topics.missing(wanted).items():
            self._topics.create(name, partitions, config)
        self._carry_out(outcome)

    def _follow(self, messages: Sequence[Message]) -> None:
        """Carry out what other engines were told."""
        with self.lock:
            self._carry_out_all(self._commands.taken(messages))

    @property
    def last_command(self) -> int:
        """The offset of the last statement that was carried out; -1 before the first."""
        return self._commands.next_offset - 1

    def _carry_out(self, outcome: Outcome) -> None:
        for query_id in outcome.terminated:
            self._end(query_id)
        query = outcome.query
        if query is not None:
            running = self._runners.pop(query.query_id, None)
            if running is not None:
                running.stop()
            self._trials.forget(query.query_id)
            self._start(query)

    def _start(self, query: PersistentQuery, *, paused: bool = False) -> None:
        runner = QueryRunner(
            query, self.servers, self.service_id, self._topics, self._scans, self._report, self._sharing
        )
        if paused:
            runner.pause()
        self._runners[query.query_id] = runner
        refusal = self._trials.refusal(query.query_id)
        if refusal is None:
            runner.start()
        else:
            runner.refuse(refusal)

    def _end(self, query_id: str) -> None:
        runner = self._runners.pop(query_id, None)
        if runner is None:
            return
        self._trials.forget(query_id)
        runner.stop(batch_s=LAST_BATCH_S)
        self._topics.delete(runner.changelog.topic)
        self._topics.delete_group(runner.group)

    def _pause_or_resume(self, statement: ast.Pause | ast.Resume, text: str) -> Submitted:
        if statement.query_id is not None:
            self.engine.query(statement.query_id)
        command = self._commands.append(command_id(statement, None), text, {})
        self.engine.next_number = command.number
        self._set_paused(statement)
        pause = isinstance(statement, ast.Pause)
        return Submitted(Outcome("Query paused." if pause else "Query resumed.", text), command.offset)

    def _set_paused(self, statement: ast.Pause | ast.Resume) -> None:
        for query_id in list(self._runners) if statement.query_id is None else [statement.query_id]:
            runner = self._runners[query_id]
            if isinstance(statement, ast.Pause):
                runner.pause()
            elif self._trials.refusal(query_id) is None:
                runner.resume()
            else:
                self._trials.forget(query_id)
                self._start(runner.query)

    def insert(self, record: OutputRecord) -> None:
        self._inserter.insert(record)

    # --- queries ------------------------------------------------------------------------------------------------------

    def push_query(self, query: ast.Query, properties: Properties, text: str) -> RowStream:
        config = {**self.engine.config, **properties}
        with self.lock:
            planned = plan_query(query, self.engine.catalog, config, persistent=False)
        found = PushQuery(
            planned,
            query.limit,
            Connection(self.servers, self.service_id, self._topics),
            config,
            self._report,
            until_end=query.emit is None,
        )
        with self._passing_lock:
            self._passing.add(found)
        return found

    @contextmanager
    def bounded(self, name: str) -> Iterator[None]:
        statement = Statement(name)
        with self._passing_lock:
            self._passing.add(statement)
        with statement.running():
            yield

    def pull_query(
        self, query: ast.Query, properties: Properties, text: str, authorization: str | None = None
    ) -> PullResult:
        planned, runner = self._plan_pull(query, properties)
        rows = self._tables.rows(planned, query, runner, Asked(text, properties, authorization))
        return PullResult(pull_id(), planned.columns, pull.result_keys(planned, with_bounds=True), rows)

    def pull_part(self, query: ast.Query, properties: Properties, slots: Collection[int]) -> Sequence[Sequence[Any]]:
        planned, runner = self._plan_pull(query, properties)
        return self._tables.part(planned, query, runner, slots)

    def _plan_pull(self, query: ast.Query, properties: Properties) -> tuple[PlannedQuery, QueryRunner]:
        config = {**self.engine.config, **properties}
        with self.lock:
            planned = pull.plan_pull(query, self.engine.catalog, config)
            source = self.engine.catalog.get(planned.source_names[0])
            runner = self._runners.get(source.query_id or "")
        if runner is None:
            raise pull.not_queryable(source)
        return planned, runner

    def explain(self, query: ast.Query, properties: Properties) -> tuple[Node, Sequence[Column]]:
        with self.lock:
            planned = plan_query(query, self.engine.catalog, {**self.engine.config, **properties}, persistent=False)
        return planned.node, planned.columns

    def print_topic(self, statement: ast.PrintTopic, properties: Properties) -> Iterator[str]:
        earliest = str(streams_property(properties, "auto.offset.reset", "latest")) == "earliest"
        return print_topic(statement, self.servers, self._topics, from_beginning=statement.from_beginning or earliest)

    # --- reading ----------------------------------------------------------------------------------------------------------

    def topics(self, *, extended: bool) -> Sequence[TopicInfo]:
        readers: dict[str, list[int]] = {}
        if extended:
            for runner in list(self._runners.values()):
                for source in runner.query.sources:
                    readers.setdefault(source.topic, []).append(source.partitions or 1)
        return [
            TopicInfo(
                name,
                tuple(len(p.replicas) for _, p in sorted(topic.partitions.items())),
                sum(readers.get(name, ())),
                len(readers.get(name, ())),
            )
            for name, topic in sorted(self._topics.all().items())
        ]

    def stats(self, query_id: str) -> QueryStats:
        runner = self._runners.get(query_id)
        if runner is None:
            raise KsqlError(f"Unknown queryId: {query_id}")
        return runner.stats()

    def all_stats(self) -> dict[str, QueryStats]:
        runners = dict(self._runners)
        # Asked for once: dozens of queries read the same topics.
        read = {(tp.topic, tp.partition) for runner in runners.values() for tp in runner.read_partitions()}
        try:
            bounds = self._topics.offsets([TopicPartition(*one) for one in sorted(read)]) if read else ({}, {})
        except KafkaUnavailable:
            bounds = {}, {}
        return {name: runner.stats(bounds) for name, runner in sorted(runners.items())}

    def stats_everywhere(self, authorization: str | None = None) -> dict[str, QueryStats]:
        return with_others(self.all_stats(), self._membership, authorization)

    def stats_to_show(self, authorization: str | None = None) -> Callable[[str], QueryStats]:
        # All together, and only if asked for: one query's figures take two requests to Kafka, as all of them do.
        found = cache(lambda: self.stats_everywhere(authorization))

        def stats(query_id: str) -> QueryStats:
            return found().get(query_id) or self.stats(query_id)

        return stats

    def engines(self) -> list[EngineInfo]:
        if self._membership is None:
            return []
        runners = sorted(self._runners.items())
        return [
            EngineInfo(m.name, m.address, {q: share for q, r in runners if (share := r.holding.share_with(m.slots))})
            for m in self._membership.members()
        ]

    def config_value(self, name: str) -> Any:
        return self.engine.config.get(name)

    def is_healthy(self) -> Mapping[str, bool]:
        try:
            self._topics.all()
            kafka = True
        except KafkaUnavailable:
            kafka = False
        return {"metastore": True, "kafka": kafka, "commandRunner": kafka}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._follower is not None:
            self._follower.stop()
        self._watcher.stop()
        self._watch.stop()
        self._trials.close()
        runners = list(self._runners.values())
        for runner in runners:
            runner.ask_to_stop()
        deadline = time.monotonic() + clients.LAST_ANSWER_S
        for runner in runners:
            runner.stop(max(0.0, deadline - time.monotonic()))
        if self._membership is not None:
            self._membership.close()
        self._scans.close()
        self._report.close()
        self._inserter.close()
        self._commands.close()
