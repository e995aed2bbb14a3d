"""The engine of the jobs: a Spark of yours where SPARK_REMOTE names one, else pysail's, started for them and ended after."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamguard.analytics.catalogue import JobError
from streamguard.analytics.quiet import quiet
from streamguard.analytics.server import running
from streamguard.config.extras import need

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REMOTE = "SPARK_REMOTE"


@contextmanager
def spark(folder: Path) -> Iterator[SparkSession]:
    """A session, times in UTC; `folder` is for temporary files. Raises JobError where the engine cannot be reached."""
    remote = os.environ.get(REMOTE, "")
    if remote:
        with _connected(remote) as session:
            yield session
    else:
        need("batch", "pysail.spark")
        with running(folder) as address, _connected(address) as session:
            yield session


@contextmanager
def _connected(address: str) -> Iterator[SparkSession]:
    with quiet():
        need("batch", "pyspark.sql.connect.session")
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

        logging.getLogger("pyspark.sql.connect.client.logging").setLevel(logging.CRITICAL)
        try:
            session = SparkSession.builder.remote(address).create()
            session.conf.set("spark.sql.session.timeZone", "UTC")
        except (PySparkException, OSError) as error:
            raise JobError(f"Spark at {REMOTE}={address} cannot be used: {first_line(error)}") from None
        except Exception as error:  # grpc's errors have no base in PySpark
            if not type(error).__module__.startswith("grpc"):
                raise
            raise JobError(f"Spark at {REMOTE}={address} does not answer: start it, or unset {REMOTE}") from None
        try:
            yield session
        finally:
            session.stop()


def first_line(error: BaseException) -> str:
    """What an error of the engine says, without the trace of its own code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
