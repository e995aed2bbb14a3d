"""What endpoints that Kafka answers for share: its refusals as statuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import KafkaError

from streamguard.desk.api.endpoint import Call, Refused
from streamguard.desk.site import NotFound
from streamguard.kafka.messages import NoSuchTopic
from streamguard.stack.readiness import kafka_probe


@contextmanager
def asks_kafka(call: Call) -> Iterator[None]:
    """Within it, a broker that does not answer is 503, and a topic that there is not 404."""
    # The client would try for seconds before it gives up.
    if (problem := kafka_probe(call.desk.settings)) is not None:
        raise Refused(503, f"Kafka is unavailable ({problem}): repeat the request later.")
    try:
        yield
    except NoSuchTopic as error:
        raise NotFound(str(error)) from None
    except (KafkaError, OSError) as error:
        where = call.desk.settings.kafka
        raise Refused(
            503, f"Kafka at {where} did not answer ({type(error).__name__}): repeat the request later."
        ) from None
