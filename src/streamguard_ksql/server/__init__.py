"""The REST server: ksqlDB's endpoints, shapes, content types and codes over a running engine.

The life of a statement sent to `/ksql`:

1. `app.ksql` reads the body (`requests.read_request`): at most 10 MB of JSON, or a refusal with ksqlDB's code 40000.
2. `session.Session.prepare` splits the text into statements, substitutes variables, parses, and applies SET and DEFINE.
3. `execution.execute` tries statements that belong together on a copy of the engine, then carries them out by the
   handlers that the modules of `streamguard_ksql.statements` register; what changes something goes through
   `Runtime.submit`, durably.
4. `entities` and `descriptions` give the JSON of the answers, `errors` that of the refusals.

The life of a query sent to `/query` or `/query-stream`:

1. `queries.start` starts it in the runtime: a push query (pulled row by row), a pull query (all rows at
   once), or PRINT.
2. `formats` has one writer for each format of rows: ksqlDB's v1 JSON, lines of JSON, one JSON array.
3. `streams.QueryResponse` pulls rows as fast as the client reads them, and closes the query when it goes away.

`/inserts-stream` is in `inserts`. Nothing here uses Kafka directly: the interface is `streamguard_ksql.runtime.api.Runtime`.

Source: docs/developer-guide/ksqldb-rest-api/*.md of the ksqlDB manual, and answers recorded from its server 0.29.
"""
