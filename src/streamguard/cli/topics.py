"""`streamguard topics` and `streamguard groups`: look at and change a Kafka cluster, ours or any other.

Everything goes through kafka-python's admin client, so it works wherever KAFKA_BOOTSTRAP_SERVERS points.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError
from rich.cells import cell_len, set_cell_size

from streamguard.cli.shared import print_line
from streamguard.config import Security
from streamguard.config.settings import get_settings
from streamguard.config.visible import one_line
from streamguard.kafka import clients
from streamguard.kafka.diagnosis import diagnosis
from streamguard.kafka.lags import group_lag
from streamguard.kafka.overview import group_state
from streamguard.kafka.resets import apply_reset, plan_reset, target_of
from streamguard.kafka.topics import differences, mend

BOOTSTRAP_TIMEOUT_MS = 5000

topics_app = typer.Typer(help="Topics of the cluster: list, describe, create, alter, delete.", no_args_is_help=True)
groups_app = typer.Typer(help="Consumer groups: list, describe with lag, reset, delete.", no_args_is_help=True)

Bootstrap = Annotated[
    str | None, typer.Option("--bootstrap-servers", help="HOST:PORT; default: KAFKA_BOOTSTRAP_SERVERS")
]
TopicName = Annotated[str, typer.Argument(help="the topic")]
GroupId = Annotated[str, typer.Argument(help="the consumer group")]


_security: ContextVar[Security | None] = ContextVar("security", default=None)
"""TLS and login of --command-config; None where those of the settings hold."""


@topics_app.callback()
@groups_app.callback()
def _client(
    command_config: Annotated[
        Path | None,
        typer.Option(
            "--command-config", help="A file with TLS and login, as Kafka's tools take; default: STREAMGUARD_KAFKA_*"
        ),
    ] = None,
) -> None:
    """Options before the command."""
    if command_config is not None:
        from streamguard.cli.command_config import security_of

        _security.set(security_of(command_config))


@contextmanager
def _admin(bootstrap: str | None) -> Iterator[KafkaAdminClient]:
    """An admin client; what goes wrong becomes one sentence and exit code 1."""
    cluster = get_settings().kafka
    if (security := _security.get()) is not None:
        cluster = replace(cluster, security=security)
    if bootstrap is not None:
        cluster = replace(cluster, servers=bootstrap)
    problem = diagnosis(cluster)
    if problem is not None and problem.permanent:
        raise _failure(f"Kafka cannot be used: {problem}.")
    try:
        client = clients.admin(cluster, client_id="streamguard-admin", bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS)
    except KafkaError as error:
        raise _failure(f"No Kafka answers at {cluster}: {diagnosis(cluster) or error}.") from error
    try:
        yield client
    except KafkaError as error:
        raise _failure(str(error)) from error
    finally:
        client.close()


def _failure(sentence: str) -> typer.Exit:
    print_line(sentence, err=True)
    return typer.Exit(1)


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """A plain table, its columns as wide as what is in them."""
    cells = [columns, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print_line("  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _settings_of(pairs: list[str] | None) -> dict[str, str]:
    """NAME=VALUE pairs as a dictionary."""
    settings = {}
    for pair in pairs or []:
        name, separator, value = pair.partition("=")
        if not separator:
            raise _failure(f"{pair!r} is not of the form NAME=VALUE.")
        settings[name] = value
    return settings


# Topics


@topics_app.command("list")
def list_topics(bootstrap_servers: Bootstrap = None, internal: bool = False) -> None:
    """All topics with partitions, bytes, and how many records retention or DeleteRecords removed."""
    with _admin(bootstrap_servers) as client:
        sizes = _sizes(client)
        topics = {
            str(topic["name"]): [TopicPartition(topic["name"], p["partition_index"]) for p in topic["partitions"]]
            for topic in client.describe_topics()
            if internal or not (topic["is_internal"] or str(topic["name"]).startswith("__"))
        }
        partitions = [partition for group in topics.values() for partition in group]
        first = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST)) if partitions else {}
        rows = [
            [name, len(group), sizes.get(name, 0), sum(first[p].offset for p in group)]
            for name, group in sorted(topics.items())
        ]
    print_table(["topic", "partitions", "bytes", "removed"], rows)


def _sizes(client: KafkaAdminClient) -> dict[str, int]:
    """Bytes on disk of each topic."""
    sizes: dict[str, int] = {}
    for broker in client.describe_log_dirs():
        for folder in broker["log_dirs"]:
            for topic in folder["topics"]:
                size = sum(partition["partition_size"] for partition in topic["partitions"])
                sizes[topic["name"]] = sizes.get(topic["name"], 0) + size
    return sizes


@topics_app.command("describe")
def describe_topic(topic: TopicName, bootstrap_servers: Bootstrap = None) -> None:
    """Partitions with their offsets, and the settings.

    A partition begins at offset 0: what is before `first` was removed by retention or DeleteRecords.
    """
    with _admin(bootstrap_servers) as client:
        found = client.describe_topics([topic])[0]
        if found["error_code"]:
            raise _failure(f"There is no topic {topic}.")
        partitions = [TopicPartition(topic, p["partition_index"]) for p in found["partitions"]]
        first = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        last = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        configs = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])["topic"][topic]
    rows = [
        [p.partition, first[p].offset, last[p].offset, last[p].offset - first[p].offset] for p in sorted(partitions)
    ]
    print_table(["partition", "first", "end", "records"], rows)
    removed = sum(first[p].offset for p in partitions)
    if removed:
        print_line(f"{removed} records before the first offsets were removed by retention or DeleteRecords.")
    for name, config in sorted(configs.items()):
        print_line(f"{name}={config['value']}")


@topics_app.command("create")
def create_topic(
    topic: TopicName,
    partitions: Annotated[int, typer.Option(min=1)] = 3,
    config: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, repeatable")] = None,
    bootstrap_servers: Bootstrap = None,
) -> None:
    """Make a topic."""
    options = {"num_partitions": partitions, "replication_factor": -1, "configs": _settings_of(config)}
    with _admin(bootstrap_servers) as client:
        client.create_topics({topic: options})
    print_line(f"Created {topic} with {partitions} partitions.")


@topics_app.command("alter")
def alter_topic(
    topic: TopicName,
    partitions: Annotated[int | None, typer.Option(help="grow to this many")] = None,
    config: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; NAME= for the default")] = None,
    bootstrap_servers: Bootstrap = None,
) -> None:
    """Grow a topic or change its settings."""
    changes = {name: ("SET", value) if value else ("DELETE", None) for name, value in _settings_of(config).items()}
    with _admin(bootstrap_servers) as client:
        if partitions is not None:
            client.create_partitions({topic: partitions})
        if changes:
            answer = client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=changes)])
            said = answer["topic"][topic]
            if said not in (None, "OK") and "NoError" not in str(said):
                raise _failure(f"{topic}: {said}")
    print_line(f"Changed {topic}.")


@topics_app.command("delete")
def delete_topic(
    topic: TopicName,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    bootstrap_servers: Bootstrap = None,
) -> None:
    """Remove a topic with all its records."""
    if not yes:
        typer.confirm(f"Delete {topic} and all its records?", abort=True)
    with _admin(bootstrap_servers) as client:
        client.delete_topics([topic])
    print_line(f"Deleted {topic}.")


@topics_app.command("check")
def check_topics(
    set_them: Annotated[bool, typer.Option("--mend", help="set what is not as the application needs it")] = False,
    bootstrap_servers: Bootstrap = None,
) -> None:
    """Compare the application's topics with what it needs. Exits 1 where one differs."""
    settings = get_settings()
    with _admin(bootstrap_servers) as client:
        found = differences(settings, client)
        if set_them:
            mend(settings, found, client)
            found = differences(settings, client)
    for difference in found:
        print_line(f"{difference}; {difference.advice}")
    if found:
        raise typer.Exit(1)
    print_line("The topics are as the application needs them.")


# Groups


@groups_app.command("list")
def list_groups(bootstrap_servers: Bootstrap = None) -> None:
    """All groups with state and total lag."""
    with _admin(bootstrap_servers) as client:
        rows = []
        for group in sorted(client.list_groups(), key=lambda g: str(g["group_id"])):
            lag = sum(entry.records or 0 for entry in group_lag(client, group["group_id"]))
            rows.append([group["group_id"], group.get("group_state", ""), lag])
    print_table(["group", "state", "lag"], rows)


@groups_app.command("describe")
def describe_group(group: GroupId, bootstrap_servers: Bootstrap = None) -> None:
    """Offsets and lag of each partition, and who reads it."""
    with _admin(bootstrap_servers) as client:
        listed = {g["group_id"]: g for g in client.list_groups()}
        if group not in listed:
            raise _failure(f"There is no group {group}.")
        described = client.describe_groups([group])[group]
        lags = group_lag(client, group)
    owners = {
        (assigned["topic"], partition): f"{member['client_id']} ({member['client_host']})"
        for member in described["members"]
        for assigned in (member["member_assignment"] or {}).get("assigned_partitions", [])
        for partition in assigned["partitions"]
    }
    state = group_state(str(listed[group].get("group_state") or ""), described["group_state"])
    if listed[group].get("group_type") == "consumer":
        print_line(f"{group}: {state}, of the consumer protocol: kafka-consumer-groups shows its members")
    else:
        print_line(f"{group}: {state}, {len(described['members'])} members")
    rows = [
        [
            lag.partition.topic,
            lag.partition.partition,
            "-" if lag.committed is None else lag.committed,
            lag.end,
            "-" if lag.records is None else lag.records,
            owners.get((lag.partition.topic, lag.partition.partition), "-"),
        ]
        for lag in lags
    ]
    print_table(["topic", "partition", "committed", "end", "lag", "member"], rows)


@groups_app.command("reset")
def reset_group(
    group: GroupId,
    topic: Annotated[str, typer.Option(help="the topic whose offsets to move")],
    to: Annotated[str, typer.Option(help="earliest, latest, an offset, or a time as @EPOCH_MS")],
    bootstrap_servers: Bootstrap = None,
) -> None:
    """Move the committed offsets of a group without members."""
    with _admin(bootstrap_servers) as client:
        moves = plan_reset(client, group, topic, target_of(to))
        apply_reset(client, group, moves)
    shown = [[m.partition.topic, m.partition.partition, "-" if m.before is None else m.before, m.after] for m in moves]
    print_table(["topic", "partition", "before", "after"], shown)


@groups_app.command("delete")
def delete_group(group: GroupId, bootstrap_servers: Bootstrap = None) -> None:
    """Forget a group without members, with its offsets."""
    with _admin(bootstrap_servers) as client:
        outcome = str(client.delete_groups([group])[group])
    if "Error" in outcome and "NoError" not in outcome:
        raise _failure(f"{group}: {outcome}")
    print_line(f"Deleted {group}.")
