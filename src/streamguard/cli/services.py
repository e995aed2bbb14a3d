"""The commands that are services: consume, broker, ksqldb, postgres. They run until SIGTERM or SIGINT."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.config import get_settings

consume_app = new_app("Read transactions and fraud_alerts, judge, and store in the database, until stopped.")
monitor_app = new_app("The figures of Kafka and the database, and alarms, until stopped.")
broker_app = new_app("The broker alone: one durable node that speaks Kafka's protocol.")
ksqldb_app = new_app("The SQL engine alone, on any Kafka.")
postgres_app = new_app("The embedded Postgres alone.")

DataDir = Annotated[Path, typer.Option("--data-dir", help="The folder of all its data.")]
Listen = Annotated[str, typer.Option("--listen", help="HOST:PORT")]


@consume_app.command()
def consume() -> None:
    """Read transactions and fraud_alerts, judge, and store in the database, until stopped."""
    from streamguard.consumer.main import consume as run

    run(get_settings())


@monitor_app.command()
def monitor() -> None:
    """Show what Kafka and the database hold at /metrics, for Prometheus, and evaluate alarms, until stopped."""
    from streamguard.alarms.loop import run as alarms
    from streamguard.metrics.monitor import monitor as run
    from streamguard.quality.collector import QualityMetrics

    settings = get_settings()
    run(settings, lambda engine: [QualityMetrics(engine, settings.transactions_topic)], [alarms])


@broker_app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def broker(context: typer.Context) -> None:
    """One durable node that speaks Kafka's protocol. The options are those of `python -m streamguard_broker`."""
    from streamguard_broker.__main__ import main

    sys.exit(main(context.args, program="streamguard broker"))


@ksqldb_app.command()
def ksqldb(
    data_dir: DataDir,
    bootstrap_servers: Annotated[str, typer.Option("--bootstrap-servers", help="HOST:PORT of the Kafka to run on.")],
    listen: Listen = "127.0.0.1:8088",
    config_file: Annotated[
        Path | None, typer.Option("--config-file", help="Settings as ksql-server.properties has them.")
    ] = None,
    log_format: Annotated[str, typer.Option("--log-format", help="Of its log: text or json.")] = "text",
) -> None:
    """Run ksqlDB SQL on any Kafka; speaks ksqlDB's REST API."""
    from streamguard_ksql.server.__main__ import main

    more = [] if config_file is None else ["--config-file", str(config_file)]
    more += ["--log-format", log_format]
    sys.exit(main(["--data-dir", str(data_dir), "--listen", listen, "--bootstrap-servers", bootstrap_servers, *more]))


@postgres_app.command()
def postgres(data_dir: DataDir) -> None:
    """Prepare the data folder, then become Postgres on the port and with the credentials of the settings."""
    from streamguard.stack.postgres import serve

    serve(data_dir.absolute(), get_settings())
