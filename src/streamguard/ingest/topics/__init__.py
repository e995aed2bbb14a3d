"""A foreign topic as SQL: the stream over it, and the query that writes its payments into `transactions`.

1. `sample.read_sample` takes up to a thousand records of the topic, the earliest and the latest of each partition.
2. `formats.objects_of` decodes them as JSON; what is no JSON (Avro, CSV, Protobuf) is named with what to do.
3. `envelopes.envelope_of` finds where the payment is: flat, Kafka Connect's `payload`, Debezium's `after`.
4. `fields.Field` is the tree of names and types; `roles` says which of them is the account, the amount, the time, ...
5. `statement.write_sql` makes the file of it, every guess a comment; what stays open is an `OpenQuestion`.
"""

from streamguard.ingest.topics.answers import Answers
from streamguard.ingest.topics.errors import OpenQuestion, UnusableTopic
from streamguard.ingest.topics.sample import Sample, read_sample
from streamguard.ingest.topics.statement import Connection, connection_of

__all__ = ["Answers", "Connection", "OpenQuestion", "Sample", "UnusableTopic", "connection_of", "read_sample"]
