"""Batch: questions over the whole history, answered by jobs in the PySpark API.

1. `session.spark` gives the engine: pysail's Spark Connect server in a process of its own, or a Spark of yours (SPARK_REMOTE).
2. `source.open_sources` reads the lake, or Postgres where there is none, as DataFrames of a range of time.
3. A job (`jobs`, one module each) is a function of them that returns its tables, DataFrames again. Sums are exact decimals,
   by currency; shares and expectations are doubles.
4. `run.analyse` collects the tables and stores them: Delta tables with all rows, Postgres tables for the desk and psql.
5. `report` makes one HTML page of them, which opens without a network.

Only `catalogue` and `run` may be imported without the extra `batch`.
"""
