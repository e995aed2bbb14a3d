"""DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44).

Behaviour
- Settings of topics can be altered; those of the broker and of groups are start options and read-only. Loggers and client
  metrics have none; other types of resources are INVALID_REQUEST.
- A setting is checked when it is altered; one without effect here is stored and shown (`configs.py`, `used=False`).

Version notes
- DescribeConfigs 1: synonyms. 3: types and documentation.
- AlterConfigs replaces all settings of a topic; IncrementalAlterConfigs sets, deletes, appends to and subtracts from
  single ones (KIP-339).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from kafka.protocol.admin import (
    AlterConfigsRequest,
    AlterConfigsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

from streamguard_broker.catalog import Topic, check_topic_name
from streamguard_broker.config_docs import BROKER_CONFIGS, GROUP_CONFIGS, TOPIC_DOCUMENTATION
from streamguard_broker.configs import TOPIC_CONFIGS, ConfigKey, ConfigSource, ConfigType, check_topic_config
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.registry import Call, handles

_TOPIC, _BROKER, _BROKER_LOGGER, _CLIENT_METRICS, _GROUP = 2, 4, 8, 16, 32
_EMPTY_RESOURCES = (_BROKER_LOGGER, _CLIENT_METRICS)
_SET, _DELETE, _APPEND, _SUBTRACT = 0, 1, 2, 3
_Entry = DescribeConfigsResponse.DescribeConfigsResult.DescribeConfigsResourceResult


class _Shown(NamedTuple):
    """What the request includes besides values."""

    synonyms: bool
    documentation: bool


@handles(DescribeConfigsRequest, 1, 4)
def describe_configs(call: Call, request: Any) -> Any:
    """Effective settings with the source of each."""
    shown = _Shown(request.include_synonyms, call.version >= 3 and request.include_documentation)
    results = []
    for resource in request.resources:
        code, message, entries = ErrorCode.NONE, None, []
        try:
            entries = _entries(call, resource, shown)
        except KafkaError as error:
            code, message = error.code, error.message
        results.append(
            DescribeConfigsResponse.DescribeConfigsResult(
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
                configs=entries,
            )
        )
    return DescribeConfigsResponse(throttle_time_ms=0, results=results)


def _entries(call: Call, resource: Any, shown: _Shown) -> list[Any]:
    """The settings of one resource that are asked for. Raises KafkaError."""
    if resource.resource_type == _TOPIC:
        found = _topic_entries(_topic(call, resource.resource_name), resource.configuration_keys, shown)
    elif resource.resource_type == _BROKER:
        if resource.resource_name not in ("", str(call.broker.node_id)):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"There is one broker, of id {call.broker.node_id}.")
        # The empty name asks for settings that were altered for all brokers; start options are not among them.
        settings = call.broker.options.as_kafka_configs() if resource.resource_name else {}
        found = [_option_entry(name, value, BROKER_CONFIGS[name], shown) for name, value in settings.items()]
    elif resource.resource_type == _GROUP:
        if not resource.resource_name:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "The name of the group is missing.")
        settings = call.broker.options.as_group_configs()
        found = [_option_entry(name, value, GROUP_CONFIGS[name], shown) for name, value in settings.items()]
    elif resource.resource_type in _EMPTY_RESOURCES:
        found = []
    else:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Resources of type {resource.resource_type} have no settings.")
    wanted = resource.configuration_keys
    return [entry for entry in found if wanted is None or entry.name in wanted]


def _topic(call: Call, name: str) -> Topic:
    check_topic_name(name)
    topic = call.broker.catalog.get(name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Topic '{name}' does not exist.")
    return topic


def _topic_entries(topic: Topic, wanted: list[str] | None, shown: _Shown) -> list[Any]:
    """A retired setting is described where the topic sets it, or where it is asked for by name."""
    return [
        _topic_entry(topic, key, shown)
        for key in TOPIC_CONFIGS.values()
        if not key.retired or key.name in topic.config.own or (wanted is not None and key.name in wanted)
    ]


def _topic_entry(topic: Topic, key: ConfigKey, shown: _Shown) -> Any:
    synonyms = topic.config.synonyms(key.name) if shown.synonyms else []
    return _Entry(
        name=key.name,
        value=topic.config.value(key.name),
        read_only=False,
        config_source=topic.config.source(key.name),
        is_sensitive=False,
        synonyms=[_Entry.DescribeConfigsSynonym(name=n, value=value, source=source) for n, value, source in synonyms],
        config_type=key.type,
        documentation=TOPIC_DOCUMENTATION[key.name] if shown.documentation else None,
    )


def _option_entry(name: str, value: str, described: tuple[ConfigType, str], shown: _Shown) -> Any:
    """A start option of the broker."""
    source = ConfigSource.STATIC_BROKER_CONFIG
    kind, documentation = described
    return _Entry(
        name=name,
        value=value,
        read_only=True,
        config_source=source,
        is_sensitive=False,
        synonyms=[_Entry.DescribeConfigsSynonym(name=name, value=value, source=source)] if shown.synonyms else [],
        config_type=kind,
        documentation=documentation if shown.documentation else None,
    )


@handles(AlterConfigsRequest, 0, 2)
async def alter_configs(call: Call, request: Any) -> Any:
    """Replace all of a topic's own settings."""
    results = []
    for resource in request.resources:
        code, message = ErrorCode.NONE, None
        try:
            topic = _alterable(call, resource)
            own = {}
            for config in resource.configs:
                check_topic_config(config.name, config.value)
                own[config.name] = config.value
            if not request.validate_only:
                await _set(call, topic, own)
        except KafkaError as error:
            code, message = error.code, error.message
        results.append(
            AlterConfigsResponse.AlterConfigsResourceResponse(
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    return AlterConfigsResponse(throttle_time_ms=0, responses=results)


async def _set(call: Call, topic: Topic, own: dict[str, str]) -> None:
    await call.broker.change_topics(partial(call.broker.catalog.begin_set_configs, topic.name, own))


def _alterable(call: Call, resource: Any) -> Topic:
    if resource.resource_type != _TOPIC:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            "Only topic settings can be altered; those of the broker and of groups are start options.",
        )
    return _topic(call, resource.resource_name)


@handles(IncrementalAlterConfigsRequest, 0, 1)
async def incremental_alter_configs(call: Call, request: Any) -> Any:
    """Set, delete, append to or subtract from single settings (KIP-339)."""
    results = []
    for resource in request.resources:
        code, message = ErrorCode.NONE, None
        try:
            topic = _alterable(call, resource)
            own = dict(topic.config.own)
            for config in resource.configs:
                _apply(topic, own, config)
            if not request.validate_only:
                await _set(call, topic, own)
        except KafkaError as error:
            code, message = error.code, error.message
        results.append(
            IncrementalAlterConfigsResponse.AlterConfigsResourceResponse(
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    return IncrementalAlterConfigsResponse(throttle_time_ms=0, responses=results)


def _apply(topic: Topic, own: dict[str, str], config: Any) -> None:
    key = TOPIC_CONFIGS.get(config.name)
    if key is None:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {config.name}")
    if config.config_operation == _DELETE:
        own.pop(config.name, None)
        return
    value = config.value
    if config.config_operation in (_APPEND, _SUBTRACT):
        if key.type is not ConfigType.LIST:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG, f"{config.name} is not a list: APPEND and SUBTRACT do not apply."
            )
        items = [item for item in own.get(config.name, topic.config.value(config.name)).split(",") if item]
        changed = [item for item in (value or "").split(",") if item]
        if config.config_operation == _APPEND:
            items += [item for item in changed if item not in items]
        else:
            items = [item for item in items if item not in changed]
        value = ",".join(items)
    check_topic_config(config.name, value)
    own[config.name] = value
