"""The SQL engine: runs ksqlDB's SQL on any Kafka, and answers as ksqlDB's server does.

The life of a statement, step by step, and where to read it:

1. Text is split into tokens and parsed into a syntax tree: `parser.parse_statements`, grammar in `grammar.lark`, nodes in `ast`.
   What the parser, the formatter, the engine and the server know of a statement is registered by its module in `statements`.
2. `engine.Engine.execute` checks it against the catalogue (`catalog`, `ddl`) and changes that; refusals are `errors`, worded
   as in ksqlDB.
3. A query's names are resolved and its clauses become a plan, a tree of frozen nodes: `planning.planner.plan_query`,
   `plan`. EXPLAIN prints it.
4. Its expressions are compiled to Python, once: `expressions.compiler.Compiler` and `codegen`; functions come from
   `functions.registry`, where a decorator registers them.
5. `topology.Topology` makes an operator of each node (`operators`): bytes in through `operators.sources.Reader`, batches of
   `Record` from one operator to the next, bytes out through `operators.sinks.Sink`; formats in `formats`.
   Up to here nothing uses a socket or a clock: `local.LocalEngine` runs it all over plain records, in partitions and
   batches, and `testing.harness.Harness` drives one query after the other, for cases.
6. `runtime.service.KafkaRuntime.submit` makes a statement durable in the command topic and starts its query:
   `runtime.query.QueryRunner` polls, runs, produces and commits; its state is kept in a changelog
   (`runtime.changelog.Changelog`) together with how far it has read, and comes back from there after a crash.
7. Clients use it over REST (`server`) and through the shell (`shell`); `testing` is `ksql-test-runner`.

The package imports nothing else of the project, and nothing of the project's broker: any Kafka will do.
"""
