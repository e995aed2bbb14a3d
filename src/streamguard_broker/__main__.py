"""`python -m streamguard_broker --data-dir DIR --listen HOST:PORT`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from streamguard_broker.configs import check_topic_config
from streamguard_broker.errors import BrokerError, KafkaError
from streamguard_broker.logs import FORMATS
from streamguard_broker.options import BrokerOptions
from streamguard_broker.server import parse_listen, run

_LIMITS = {
    "max_connections": "connections in all",
    "max_connections_per_ip": "connections of one address",
    "reserved_files": "open files that no connection may take: segments need them",
    "idle_timeout_ms": "after which an idle connection is closed",
    "group_min_session_timeout_ms": "the shortest session timeout that a member of a group may ask for",
    "group_max_session_timeout_ms": "the longest one",
    "group_consumer_session_timeout_ms": "after which a silent member of the consumer protocol is removed",
    "group_consumer_heartbeat_interval_ms": "between heartbeats of a member of the consumer protocol",
    "silent_timeout_ms": "after which one without a valid request or login is closed, when a limit is near",
}
"""Options that are named as the fields of BrokerOptions."""


def main(arguments: list[str] | None = None, program: str = "python -m streamguard_broker") -> int:
    """The exit code: 0 after a clean stop, 1 with one sentence on stderr if the broker cannot start.

    Raises SystemExit for invalid arguments and for --help.
    """
    parser = argparse.ArgumentParser(prog=program, description="A one-node Kafka broker.")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="the folder of topics, offsets, users and settings"
    )
    parser.add_argument("--listen", default="127.0.0.1:9092", help="HOST:PORT (default 127.0.0.1:9092)")
    parser.add_argument(
        "--advertise", metavar="HOST:PORT", help="the address that clients are given (default: that of --listen)"
    )
    parser.add_argument(
        "--default-partitions", type=int, default=1, help="of topics created without a number of them (default 1)"
    )
    parser.add_argument(
        "--auto-create-topics",
        action="store_true",
        help="clients create topics by naming them; default: CreateTopics only",
    )
    parser.add_argument(
        "--topic-default", action="append", default=[], metavar="NAME=VALUE", help="e.g. max.message.bytes=10485760"
    )
    parser.add_argument("--sasl", action="store_true", help="clients log in (SCRAM-SHA-256/512, PLAIN)")
    parser.add_argument("--tls-certificate", type=Path, help="PEM; the listener then uses TLS")
    parser.add_argument("--tls-key", type=Path, help="PEM; default: in the certificate's file")
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve Prometheus metrics there (loopback)")
    parser.add_argument("--metrics-file", type=Path, help="write their address there, as Prometheus' file_sd reads it")
    parser.add_argument("--log-format", choices=FORMATS, default="text", help="of its log: text (default) or json")
    for name, text in _LIMITS.items():
        default = getattr(BrokerOptions, name)
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=_positive, default=default, help=f"{text} (default {default})", metavar="N")
    given = parser.parse_args(arguments)
    try:
        defaults = parse_topic_defaults(given.topic_default)
        options = BrokerOptions(
            given.data_dir,
            advertise=parse_listen(given.advertise, "advertised") if given.advertise else None,
            auto_create_topics=given.auto_create_topics,
            default_partitions=given.default_partitions,
            topic_defaults=defaults,
            sasl=given.sasl,
            tls_certificate=given.tls_certificate,
            tls_key=given.tls_key,
            metrics_listen=parse_listen(given.metrics) if given.metrics else None,
            metrics_file=given.metrics_file,
            **{name: getattr(given, name) for name in _LIMITS},
        )
        os.umask(0o077)  # its files are for its owner alone
        run(given.data_dir, given.listen, options, log_format=given.log_format)
    except BrokerError as error:
        print(f"streamguard broker: {error}", file=sys.stderr)
        return 1
    return 0


def _positive(text: str) -> int:
    """Raises ValueError, which argparse reports."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse_topic_defaults(pairs: list[str]) -> dict[str, str]:
    """NAME=VALUE pairs, checked. Raises BrokerError."""
    defaults = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise BrokerError(f"--topic-default {pair!r} is not of the form NAME=VALUE.")
        try:
            check_topic_config(name, value)
        except KafkaError as error:
            raise BrokerError(f"--topic-default: {error.message}") from error
        defaults[name] = value
    return defaults


if __name__ == "__main__":
    sys.exit(main())
