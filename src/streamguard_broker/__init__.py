"""A durable one-node broker that speaks Kafka's wire protocol.

The life of a produce request:

1. `connection.Connection` takes a frame from the socket's bytes and reads its header; `registry` names the handler.
2. `api.produce.produce` decodes the body; `storage.batch.validate` checks the batch and its CRC.
3. `storage.log.PartitionLog.append` checks the producer's sequence, sets the base offset and queues the batch; the thread
   of `storage.writer.LogWriter` writes it to the active segment.
4. Fetches that wait (`api.fetch`) are completed: the record can be read.
5. `storage.flusher.Flusher.request` syncs once for all waiting requests; then `acks=all` is answered.

The life of a fetch: `api.fetch.fetch` -> `PartitionLog.read` -> bytes of the segment file -> socket;
no record is decoded.

`groups/` has the group state machine, without I/O; `catalog` the topics; `server.run` the process. The package imports
nothing of the application.
"""
