"""`python -m streamguard_ksql.server --data-dir DIR --listen HOST:PORT --bootstrap-servers HOST:PORT`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.runtime.clients import KafkaUnavailable
from streamguard_ksql.server.config_file import read_config
from streamguard_ksql.server.kafka import cluster_of, without_connection
from streamguard_ksql.server.logs import FORMATS, configure_logging
from streamguard_ksql.server.run import StartError, run
from streamguard_ksql.visible import visible

BOOTSTRAP = "bootstrap.servers"


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 after a clean stop, 1 with one line on stderr if the server cannot start."""
    parser = argparse.ArgumentParser(prog="python -m streamguard_ksql.server", description="ksqlDB SQL on any Kafka.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder for what is kept outside of Kafka")
    parser.add_argument(
        "--bootstrap-servers", help="HOST:PORT of the Kafka to run on (or bootstrap.servers of the file)"
    )
    parser.add_argument("--listen", default="127.0.0.1:8088", help="HOST:PORT (default 127.0.0.1:8088)")
    parser.add_argument("--service-id", help="the prefix of internal topics (default: ksql.service.id, or default_)")
    parser.add_argument(
        "--config-file", type=Path, help="settings as ksql-server.properties has them; passwords belong there"
    )
    parser.add_argument(
        "--share-as",
        metavar="NAME",
        help="one of several engines of this service id, which divide its queries: its name, the same at each start",
    )
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve Prometheus metrics there (loopback)")
    parser.add_argument("--metrics-file", type=Path, help="write their address there, as Prometheus' file_sd reads it")
    parser.add_argument("--log-format", choices=FORMATS, default="text", help="of its log: text (default) or json")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a server setting, e.g. ksql.streams.commit.interval.ms=200",
    )
    given = parser.parse_args(arguments)
    configure_logging(given.log_format)
    try:
        os.umask(0o077)  # its files are for its owner alone
        config = {**(read_config(given.config_file) if given.config_file else {}), **dict(map(_setting, given.set))}
        servers = given.bootstrap_servers or config.get(BOOTSTRAP) or config.get(f"ksql.streams.{BOOTSTRAP}")
        if not servers:
            raise StartError("--bootstrap-servers HOST:PORT is missing: it says which Kafka to run on.")
        service_id = given.service_id or config.get("ksql.service.id") or "default_"
        cluster, rest = cluster_of(servers, config), without_connection(config)
        shown = {"metrics": given.metrics, "metrics_file": given.metrics_file, "share_as": given.share_as}
        run(given.listen, cluster, given.data_dir, service_id, rest, **shown)
    except (StartError, KsqlError, KafkaUnavailable, OSError) as error:
        print(f"streamguard ksqldb: {visible(str(error))}", file=sys.stderr)
        return 1
    return 0


def _setting(pair: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    if not separator:
        raise StartError(f"--set {pair!r} is not of the form NAME=VALUE.")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
