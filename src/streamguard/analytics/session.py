"""The engine of the jobs: a Spark of yours where SPARK_REMOTE names one, else pysail's, started for them and ended after."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamguard.analytics.catalogue import JobError
from streamguard.analytics.quiet import quiet
from streamguard.analytics.server import running
from streamguard.config.extras import need

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REMOTE = "SPARK_REMOTE"
_PORT = 15002
"""Of Spark Connect, where the address names none."""
_ANSWERS_WITHIN_S = 10.0
_RETRIES = 4


@contextmanager
def spark(folder: Path) -> Iterator[SparkSession]:
    """A session, times in UTC; `folder` is for temporary files. Raises JobError where the engine cannot be reached."""
    remote = os.environ.get(REMOTE, "")
    if remote:
        _check_answers(remote)
        with _connected(remote) as session:
            yield session
    else:
        need("batch", "pysail.spark")
        with running(folder) as address, _connected(address) as session:
            yield session


def _check_answers(address: str) -> None:
    """Raises JobError where nobody listens: PySpark itself would try for minutes."""
    url = urlsplit(address)
    try:
        if url.scheme != "sc" or not url.hostname:
            raise ValueError
        port = url.port or _PORT
    except ValueError:
        raise JobError(f"{REMOTE} is {address!r}: an address such as sc://spark.example.org:15002 is needed") from None
    try:
        socket.create_connection((url.hostname, port), timeout=_ANSWERS_WITHIN_S).close()
    except OSError as error:
        why = error.strerror or error
        raise JobError(
            f"Spark at {REMOTE}={url.hostname}:{port} does not answer ({why}): start it, or unset {REMOTE}"
        ) from None


@contextmanager
def _connected(address: str) -> Iterator[SparkSession]:
    with quiet():
        need("batch", "pyspark.sql.connect.session")
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
        from pyspark.sql.connect.client.retries import DefaultPolicy

        logging.getLogger("pyspark.sql.connect.client.logging").setLevel(logging.CRITICAL)
        try:
            session = SparkSession.builder.remote(address).create()
            # Some 4 s for each call: an engine that is gone does not come back.
            session.client.set_retry_policies([DefaultPolicy(max_retries=_RETRIES)])
            session.conf.set("spark.sql.session.timeZone", "UTC")
        except (PySparkException, OSError) as error:
            # Without what follows the host: it may be a token.
            where = urlsplit(address).netloc
            raise JobError(f"the engine at {where} ({REMOTE}) cannot be used: {first_line(error)}") from None
        try:
            yield session
        finally:
            session.stop()


def first_line(error: BaseException) -> str:
    """What an error of the engine says, without the trace of its own code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
