"""What pages that Kafka answers for share: a client, and a page that says that it is unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from starlette.responses import Response

from streamguard.desk.site import Asker, Handler, NotFound, Visit, refuse
from streamguard.kafka.clients import kafka_admin
from streamguard.kafka.messages import NoSuchTopic
from streamguard.stack.readiness import kafka_probe


def reads_kafka(handler: Handler) -> Handler:
    """A page that Kafka answers for; where it does not, a page that says so, with 503."""

    @wraps(handler)
    def answer(visit: Visit) -> Response:
        # The client would try for seconds before it gives up.
        if (problem := kafka_probe(visit.desk.settings)) is not None:
            return refuse(visit, 503, f"Kafka is unavailable ({problem}); this page comes back with it.")
        try:
            return handler(visit)
        except NoSuchTopic as error:
            raise NotFound(str(error)) from None
        except (KafkaError, OSError) as error:
            where = visit.desk.settings.kafka
            sentence = f"Kafka at {where} did not answer ({type(error).__name__}); this page comes back with it."
            return refuse(visit, 503, sentence)

    return answer


@contextmanager
def cluster(asker: Asker) -> Iterator[KafkaAdminClient]:
    """A client of the cluster. Raises KafkaError."""
    with kafka_admin(asker.desk.settings) as client:
        yield client


def is_behind(lag: int, rate: float | None) -> bool:
    """Whether a lag is more than ten seconds of what arrives, and a hundred: less is what is on its way."""
    return lag > 10 * (rate or 0.0) + 100
