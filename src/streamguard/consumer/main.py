"""`streamguard consume`: wire settings, database and Kafka together and run until a signal."""

from __future__ import annotations

import logging
import signal
import threading

from streamguard.config import Settings
from streamguard.config.logs import configure_logging
from streamguard.consumer import CONSUMER_NAME
from streamguard.consumer.limit_changes import note_limits
from streamguard.consumer.loop import Consumer
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.store import Store
from streamguard.consumer.traces import ConsumerTraces
from streamguard.database import apply_schema, error_message, is_outage, make_engine
from streamguard.metrics.consumer import ConsumerMetrics
from streamguard.metrics.page import serve
from streamguard.metrics.targets import member_name
from streamguard.metrics.traces import tracer_of
from streamguard.privacy.lists import protect_lists
from streamguard.privacy.mode import settle
from streamguard.privacy.protection import NO_PROTECTION
from streamguard.rules import RuleLimits
from streamguard.rules.catalogue import sql_rules

log = logging.getLogger("streamguard.consumer")


def consume(settings: Settings) -> None:
    """Run one member of the consumer group until SIGTERM or SIGINT.

    Applies the schema first, retrying until the database is available. Raises NewerSchema, OtherProtection.
    """
    name = member_name(settings.consumer_instance)
    configure_logging(name, settings)
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = threading.Event()
    protection = NO_PROTECTION
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = make_engine(settings, CONSUMER_NAME)
    while not stop.is_set():
        try:
            log.info("database: %s", apply_schema(engine))
            protection = settle(engine, settings)
            protect_lists(engine, protection)
            with engine.begin() as connection:
                if changed := note_limits(connection, RuleLimits()):
                    log.info("limits of rules that changed since the start before: %s", ", ".join(changed))
            break
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database is unavailable (%s); retrying in 1 s", error_message(error))
            stop.wait(1.0)
    tracer = tracer_of("consumer", settings)
    traces = None if tracer is None else ConsumerTraces(tracer)
    publisher = Publisher(engine, settings.kafka, settings.consumer_group, traces)
    publisher.start()
    store = Store(engine, settings, protection=protection)
    if settled := store.settle_waiting():
        log.info("settled %d alerts whose transaction was refused before", settled)
    metrics = ConsumerMetrics([rule.name for rule in sql_rules()])
    counted = None if settings.metrics_port == "off" else metrics
    consumer = Consumer(settings, store, publisher, stop, protection, counted, traces)
    page = serve(settings, name, [metrics], consumer.ready)
    consumer.run()
    page.close()
    publisher.close()
    if traces is not None:
        traces.close()
    engine.dispose()
    log.info("stopped; the next start continues from the stored offsets")
