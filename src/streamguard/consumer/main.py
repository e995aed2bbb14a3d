"""`streamguard consume`: wire settings, database and log together and run until a signal."""

from __future__ import annotations

import logging
import signal
import threading

from streamguard.config import Settings
from streamguard.consumer.loop import Consumer
from streamguard.consumer.outbox import Outbox
from streamguard.consumer.store import Store
from streamguard.database import is_outage, lay_schema, make_engine, sentence_of
from streamguard.privacy.lists import protect_lists
from streamguard.privacy.protection import Protection

log = logging.getLogger("streamguard.consumer")

CONSUMER_NAME = "streamguard-consumer"
"""What `pg_stat_activity` calls the consumer's connections; the stack waits for one."""


def consume(settings: Settings) -> None:
    """Run one member of the consumer group until SIGTERM or SIGINT; lays the schema first, waiting for the database."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = threading.Event()
    protection = Protection.of(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = make_engine(settings, CONSUMER_NAME)
    while not stop.is_set():
        try:
            lay_schema(engine)
            protect_lists(engine, protection)
            break
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database is away (%s); waiting", sentence_of(error))
            stop.wait(1.0)
    outbox = Outbox(engine, settings.kafka_bootstrap_servers, settings.dead_letters_topic)
    store = Store(engine, settings.consumer_group, protection=protection, keep_raw=settings.keep_raw)
    Consumer(settings, store, outbox, stop, protection).run()
    outbox.close()
    engine.dispose()
    log.info("stopped; the next start reads on from the stored offsets")
