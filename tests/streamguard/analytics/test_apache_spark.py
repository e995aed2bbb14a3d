"""300,000 seeded transactions: every job gives the same from pysail, from Apache Spark, and from a plain reading.

Apache Spark is looked for in STREAMGUARD_TEST_SPARK_HOME, such as the folder `pyspark` of `pip install pyspark==4.2.0` in an
environment of its own; it needs Java 17.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from streamguard.analytics.catalogue import JOBS, JobError, load_jobs
from streamguard.analytics.quiet import quiet
from streamguard.analytics.rates import Rates
from streamguard.analytics.run import collect
from streamguard.analytics.session import REMOTE, spark
from tests.streamguard.analytics.data import Made, make
from tests.streamguard.analytics.reading import Reading
from tests.streamguard.analytics.test_jobs import compare, sources_of
from tests.support.broker import free_port
from tests.support.processes import eventually

load_jobs()
pytestmark = pytest.mark.soak

HOME = os.environ.get("STREAMGUARD_TEST_SPARK_HOME", "")
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("large") / "lake", 300_000, 90)


@pytest.fixture(scope="module")
def expected(large: Made) -> dict[str, Any]:
    times = [payment["event_time"] for payment in large.payments]
    reading = Reading(large.payments, large.decisions, min(times), max(times) + timedelta(milliseconds=1))
    return {name: getattr(reading, name)() for name in JOBS}


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session on a Spark Connect server of Apache Spark, over SPARK_REMOTE as anybody's."""
    if shutil.which("java") is None:
        pytest.skip("Apache Spark needs Java 17")
    if not HOME:
        pytest.skip("STREAMGUARD_TEST_SPARK_HOME names no Apache Spark")
    folder, port = tmp_path_factory.mktemp("spark"), free_port()
    command = [f"{HOME}/bin/spark-submit", "--class", SERVER, "--master", "local[2]", "--driver-memory", "2g"]
    command += ["--conf", f"spark.connect.grpc.binding.port={port}", "--conf", "spark.sql.shuffle.partitions=2"]
    command += ["--conf", "spark.ui.enabled=false", "spark-internal"]
    with (folder / "spark.log").open("wb") as log:
        environment = {**os.environ, "SPARK_HOME": HOME, "SPARK_LOCAL_IP": "127.0.0.1"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    patched = pytest.MonkeyPatch()
    patched.setenv(REMOTE, f"sc://127.0.0.1:{port}")
    try:
        eventually(lambda: _is_up(folder), bool, 180, lambda: (folder / "spark.log").read_text()[-2000:])
        with quiet(), spark(folder) as session:
            yield session
    finally:
        patched.undo()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_up(folder: Path) -> bool:
    """Somebody listens, and answers."""
    try:
        with quiet(), spark(folder) as session:
            return bool(session.range(1).count() == 1)
    except JobError:
        return False


@pytest.mark.parametrize("name", sorted(JOBS))
def test_pysail_equals_plain_reading(
    name: str, engine: Any, large: Made, rates: Rates, expected: dict[str, Any]
) -> None:
    compare(collect(JOBS[name], sources_of(engine, large, rates)), expected[name])


@pytest.mark.parametrize("name", sorted(JOBS))
def test_apache_spark_equals_plain_reading(
    name: str, apache: Any, large: Made, rates: Rates, expected: dict[str, Any]
) -> None:
    """It reads the Parquet files of the tables: what Delta needs is a jar that a Spark of yours has."""
    compare(collect(JOBS[name], sources_of(apache, large, rates, "parquet")), expected[name])
