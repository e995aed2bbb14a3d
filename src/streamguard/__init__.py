"""Real-time fraud detection on payment streams.

The life of a transaction, step by step, and where to read it:

1. `producer.simulator` makes it or `ingest` reads it from a file; `producer.kafka_sink` sends it to the topic
   `transactions`, keyed by its account.
2. The broker stores it (`streamguard_broker`, or Apache Kafka): the response to `acks=all` means that it is on disk.
3. The SQL of `ksqldb/`, sent to the server by `sqldeploy.run.deploy`, reads it (`streamguard_ksql`, or ksqlDB): filters and
   windows. A hit goes to the topic `fraud_alerts`.
4. `consumer.loop.Consumer` reads both topics; `consumer.records.Decoder` checks every record against its model
   (`models.records`). What fits no model becomes a dead letter, with its bytes and the reason.
5. `consumer.store.Store.write` stores the batch in one database transaction: transactions, alerts, their versions, links,
   dead letters and the offsets read.
6. In it, `consumer.judge.judge` gives every version of an alert whose transaction is stored to the rules of `rules.checks`;
   each returns points and a reason, `rules.decide.decide` adds them up: dismiss, review or block. `is_fraud` follows. A
   version whose transaction is a dead letter is refused (`consumer.refusals`).
7. Decisions and dead letters leave by the outbox (`database.outbox`): `consumer.publisher.Publisher` sends them to the topics
   `decisions` and `dead_letters`, once each.
8. People see it: `cli`, `psql`, the `ksql` shell. What analysts do (`alerts.actions`) is kept and published too.

`stack` starts and stops the processes; `rules.catalogue` lists the rules of both kinds.
"""
