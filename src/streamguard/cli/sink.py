"""`streamguard sink NAME [DESTINATION]`: copy the topics to a sink, until stopped."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.config import get_settings
from streamguard.config.logs import configure_logging
from streamguard.kafka.clients import kafka_errors
from streamguard.metrics.page import serve
from streamguard.metrics.sink import SinkMetrics
from streamguard.sinks import SINKS
from streamguard.sinks.chosen import kind_of
from streamguard.sinks.runner import group_of, run, topics_of

app = new_app("Copy transactions, alerts and decisions to a sink, until stopped.")


@app.command()
def sink(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(sorted(SINKS))}.")],
    destination: Annotated[
        str, typer.Argument(help="Where to, such as a folder or an address; without it as the settings say.")
    ] = "",
    to_end: Annotated[bool, typer.Option("--to-end", help="Stop where the topics end now.")] = False,
) -> None:
    """Copy transactions, alerts and decisions to a sink, until stopped. Each record arrives once, also after a kill -9."""
    kind, settings = kind_of(name), get_settings()
    destination = destination or kind.destination(settings)
    configure_logging("sink", settings)
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    opened, metrics = kind.open(settings, destination), SinkMetrics(name)
    page = None if to_end else serve(settings, f"sink-{name}", [metrics], metrics.ready)
    try:
        with kafka_errors():
            written = run(
                settings,
                opened,
                kind.topics(settings) if kind.topics else topics_of(settings),
                stop,
                to_end=to_end,
                metrics=metrics,
                group=group_of(name),
                batch=kind.batch(settings),
            )
    finally:
        if page is not None:
            page.close()
        opened.close()
    # The path of an address may be a secret.
    print(f"{written:,} records written to {name if '://' in destination else destination}")
