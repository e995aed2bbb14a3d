"""Real-time fraud detection on payment streams.

The life of a transaction, step by step, and where to read it:

1. `producer.cli` makes it (`producer.simulator`) or replays it (`producer.replay`), keyed by its account, and sends it
   to the topic `transactions` (`producer.kafka_sink`).
2. The log stores it (`broker`): the answer to `acks=all` means that it is on disk.
3. The SQL of `ksqldb/queries.sql`, brought there by `deploy.run.deploy`, reads it (`ksql`); a hit goes to the topic
   `fraud_alerts`.
4. `consumer.loop.Consumer` reads both topics; `consumer.records.Decoder` checks every record against its model
   (`models.records`). What fits no model becomes a dead letter, with its bytes and the reason.
5. `consumer.store.Store.write` stores the batch in one database transaction: payments, incidents, links, dead letters
   and the offsets read.
6. In it, `consumer.judge.judge` asks the rules of `consumer.rules` about every alert whose payment is there, and keeps
   each verdict with its reason; `is_fraud` follows.
7. People see it: `cli`, `psql`, the `ksql` shell. What analysts do (`database.desk`) is kept too.

`stack` starts and stops the processes of it all on one machine.
"""
