"""DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44).

Behaviour
- Settings of topics can be altered; those of the broker are start options and read-only. Other resources have none.
- A setting is checked when it is altered; one without effect here is stored and shown (`configs.py`, `used=False`).

Version notes
- DescribeConfigs 1: synonyms. 3: types; the documentation is always null.
- AlterConfigs replaces all settings of a topic; IncrementalAlterConfigs sets, deletes, appends to and subtracts from
  single ones (KIP-339).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kafka.protocol.admin import (
    AlterConfigsRequest,
    AlterConfigsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

from streamguard_broker.catalog import Topic, check_topic_name
from streamguard_broker.configs import TOPIC_CONFIGS, ConfigKey, ConfigSource, ConfigType, check_topic_config
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.registry import Call, handles

_TOPIC, _BROKER = 2, 4
_SET, _DELETE, _APPEND, _SUBTRACT = 0, 1, 2, 3
_Entry = DescribeConfigsResponse.DescribeConfigsResult.DescribeConfigsResourceResult


@handles(DescribeConfigsRequest, 1, 4)
def describe_configs(call: Call, request: Any) -> Any:
    """Effective settings with the source of each."""
    results = []
    for resource in request.resources:
        code, message, entries = ErrorCode.NONE, None, []
        try:
            entries = _entries(call, resource, synonyms=request.include_synonyms)
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


def _entries(call: Call, resource: Any, *, synonyms: bool) -> list[Any]:
    wanted = resource.configuration_keys
    if resource.resource_type == _TOPIC:
        topic = _topic(call, resource.resource_name)
        return [
            _topic_entry(topic, key, synonyms=synonyms)
            for name, key in TOPIC_CONFIGS.items()
            if wanted is None or name in wanted
        ]
    if resource.resource_type == _BROKER:
        if resource.resource_name not in ("", str(call.broker.node_id)):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"There is one broker, of id {call.broker.node_id}.")
        return [
            _Entry(
                name=name,
                value=value,
                read_only=True,
                config_source=ConfigSource.STATIC_BROKER_CONFIG,
                is_sensitive=False,
                synonyms=[],
                config_type=ConfigType.STRING,
                documentation=None,
            )
            for name, value in call.broker.options.as_kafka_configs().items()
            if wanted is None or name in wanted
        ]
    return []


def _topic(call: Call, name: str) -> Topic:
    check_topic_name(name)
    topic = call.broker.catalog.get(name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Topic '{name}' does not exist.")
    return topic


def _topic_entry(topic: Topic, key: ConfigKey, *, synonyms: bool) -> Any:
    source = topic.config.source(key.name)
    value = topic.config.value(key.name)
    known = []
    if synonyms and source is not ConfigSource.DEFAULT_CONFIG:
        known.append(_Entry.DescribeConfigsSynonym(name=key.name, value=value, source=source))
    if synonyms:
        known.append(
            _Entry.DescribeConfigsSynonym(name=key.name, value=key.default, source=ConfigSource.DEFAULT_CONFIG)
        )
    return _Entry(
        name=key.name,
        value=value,
        read_only=False,
        config_source=source,
        is_sensitive=False,
        synonyms=known,
        config_type=key.type,
        documentation=None,
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
            ErrorCode.INVALID_REQUEST, "Only topic settings can be altered; broker settings are start options."
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
