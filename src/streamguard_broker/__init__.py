"""The log: a durable one-node broker that speaks Kafka's wire protocol.

The life of a produce request:

1. `connection.Connection` cuts a frame out of the socket's bytes and reads its header; `registry` names the handler.
2. `api.produce.produce` walks over the body; `storage.records.validate` checks the batch and its checksum.
3. `storage.log.PartitionLog.append` checks the producer's sequence, sets the base offset, writes to the active segment.
4. Waiting fetches (`api.fetch`) wake up: the record can be read.
5. `storage.flusher.Flusher.flush` shares one sync among all who wait; then `acks=all` is answered.

The life of a fetch: `api.fetch.fetch` -> `PartitionLog.read` -> bytes of the segment file -> socket;
no record is decoded.

`groups/` is membership without I/O; `catalog` the topics; `server.run` the process. Imports nothing of the application.
"""
