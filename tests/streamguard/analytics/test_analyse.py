"""`streamguard analyse`: what it stores, what it reads where there is no lake, and what it says when it cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import psutil
import pytest
from pyspark.errors import PySparkException
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from streamguard.analytics import source
from streamguard.analytics.catalogue import JOBS, JobError, load_jobs
from streamguard.analytics.quiet import quiet
from streamguard.analytics.rates import Rates
from streamguard.analytics.run import analyse
from streamguard.analytics.session import spark
from streamguard.cli.analyse import JobsFailed, app
from streamguard.cli.shared import DatabaseUnavailable
from streamguard.config import load_settings
from streamguard.database import apply_schema, make_engine
from streamguard.models import Decision
from streamguard.producer.runs import Recipe, Run
from streamguard.sinks import SINKS, SinkRecord
from tests.streamguard.analytics.data import Made
from tests.streamguard.analytics.reading import Reading
from tests.streamguard.analytics.test_jobs import compare
from tests.streamguard.sinks.examples import transaction
from tests.support.broker import free_port
from tests.support.object_storage import BUCKET, ObjectStorage
from tests.support.pages import blocks
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import eventually

load_jobs()


@dataclass
class Place:
    """A database with tables, a copy of the lake's place, and where reports go."""

    postgres: EmbeddedPostgres
    state: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str, lake: Path | str | None = None, **variables: str) -> Outcome:
        """The command, in this process."""
        self.monkeypatch.setenv("DATABASE_URL", self.postgres.url())
        self.monkeypatch.setenv("STREAMGUARD_STATE_DIR", str(self.state))
        self.monkeypatch.setenv("LAKE_URI", str(lake or self.state / "lake"))
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def place(postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    engine.dispose()
    return Place(postgres, tmp_path / "state", monkeypatch)


@pytest.fixture
def one_engine(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands use the engine of these tests, and do not start one each."""
    from contextlib import nullcontext

    monkeypatch.setattr("streamguard.analytics.session.spark", lambda folder: nullcontext(engine))


@pytest.mark.soak
def test_the_lake_may_be_in_object_storage(place: Place, tmp_path: Path) -> None:
    storage, lake = ObjectStorage(tmp_path).start(), f"s3://{BUCKET}/lake"
    try:
        for name, value in storage.access.items():
            place.monkeypatch.setenv(name, value)
        with closing(SINKS["lake"](lake)) as sink:
            sink.write([transaction(offset) for offset in range(200)])
        done = place.run("channels", lake=lake)
        assert done.exit_code == 0, done.output
        assert place.postgres.query("SELECT source, rows, status FROM analytics_runs") == [(lake, 200, "done")]
        assert deltalake.DeltaTable(f"{lake}/analytics/channels/by_channel").count() == 1
    finally:
        storage.kill()
    with pytest.raises(JobError, match=rf"the lake {lake} \(LAKE_URI\) cannot be read: Connection refused"):
        raise place.run("channels", lake=lake).exception or AssertionError


def test_results_are_tables_with_the_id_of_their_run_and_a_page(place: Place, small: Made) -> None:
    done = place.run("commission", "merchants", lake=small.lake)
    assert done.exit_code == 0, done.output
    runs = place.postgres.query(
        "SELECT job, run_id::TEXT, source, rows, status, error FROM analytics_runs ORDER BY job"
    )
    assert [(job, *rest) for job, _, *rest in runs] == [
        (job, str(small.lake), len(small.payments), "done", None) for job in ("commission", "merchants")
    ]
    for job, run_id, *_ in runs:
        stored = place.postgres.query("SELECT data FROM analytics_results WHERE job = %s ORDER BY place", job)
        rows = [json.loads(data) if isinstance(data, str) else data for (data,) in stored]
        for table in {row["table"] for row in rows}:
            delta = deltalake.DeltaTable(str(small.lake / "analytics" / job / table)).to_pyarrow_table()
            own = [row for row in delta.to_pylist() if row.pop("run_id") == run_id]
            assert [row | {"table": table} for row in map(_plain, own)] == [r for r in rows if r["table"] == table]
    [page] = (place.state / "reports").glob("*.html")
    text = page.read_text(encoding="utf-8")
    assert 'id="commission"' in text and 'id="merchants"' in text
    assert f"report: {page}" in done.output
    # The query that the documentation shows.
    [query] = blocks("docs/batch.md", "sql")
    found = place.postgres.query(query)
    categories = {(payment["currency"], payment["merchant_category"] or "unknown") for payment in small.payments}
    assert {(currency, category) for currency, category, *_ in found} <= categories and len(found) > 5


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Decimals are texts in JSON."""
    return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in row.items()}


def test_without_a_lake_postgres_is_read(place: Place, one_engine: None, small: Made, rates: Rates) -> None:
    """Labels are of the generator's headers, which Postgres does not have: analysts say what is fraud."""
    _fill(place.postgres, small)
    place.monkeypatch.setattr(source, "read_rates", lambda: rates)
    settings = load_settings(database_url=place.postgres.url(), state_dir=place.state)
    found = analyse(settings, store=False)
    assert found.source == "postgres" and found.transactions == len(small.payments)
    payments = [{**payment, "is_fraud": None} for payment in small.payments]
    times = [payment["event_time"] for payment in payments]
    reading = Reading(payments, small.decisions, min(times), max(times) + timedelta(milliseconds=1))
    for result in found.results:
        assert result.error is None
        compare(dict(result.tables), getattr(reading, result.job.name)())


def _fill(postgres: EmbeddedPostgres, made: Made) -> None:
    """The same payments, alerts and decisions in Postgres."""
    columns = "transaction_id account_id amount currency transaction_type channel merchant_id merchant_name".split()
    columns += ["merchant_category", "event_time"]
    lines = [[payment[name] for name in columns] + [0, place] for place, payment in enumerate(made.payments)]
    alerts = {d["alert_id"]: d for d in made.decisions}
    with postgres.connect() as connection, connection.cursor() as cursor:
        _copy(cursor, "transactions", [*columns, "source_partition", "source_offset"], lines)
        _copy(
            cursor,
            "fraud_alerts",
            "alert_id rule account_id transaction_id tx_count detected_at source_partition source_offset".split(),
            [
                [d["alert_id"], d["rule"], d["account_id"], d["transaction_id"], 1, d["decided_at"], 0, place]
                for place, d in enumerate(alerts.values())
            ],
        )
        _copy(cursor, "alert_versions", ["alert_id", "tx_count"], [[alert_id, 1] for alert_id in alerts])
        names = "alert_id tx_count decided_by action_no transaction_id outcome decided_at".split()
        rows = [[d.get(name, place) for name in names] for place, d in enumerate(made.decisions)]
        _copy(cursor, "decisions", names, rows)


def _copy(cursor: Any, table: str, columns: list[str], rows: list[list[Any]]) -> None:
    """COPY's text format."""
    text = "".join("\t".join("\\N" if v is None else str(v) for v in row) + "\n" for row in rows)
    cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", io.StringIO(text))


def test_what_the_sink_wrote_is_read(one_engine: None, tmp_path: Path) -> None:
    """The lake as `streamguard sink lake` makes it, and not only as these tests do."""
    run = Run(Recipe("ke-mpesa", seed=3, fraud_share=0.1))
    records = [
        SinkRecord("transactions", 0, place, r.key, r.value, r.event_time, tuple(r.headers()))
        for place, r in enumerate(run.batch(400, None, None, 0))
    ]
    [fraud, *_] = [record for record in records if dict(record.headers)["label"]]
    fields = json.loads(fraud.value or b"")
    decided = Decision(
        alert_id="HIGH_AMOUNT:1",
        tx_count=1,
        rule="HIGH_AMOUNT",
        account_id=fields["account_id"],
        transaction_id=fields["transaction_id"],
        outcome="block",
        score=90,
        reason=None,
        verdicts=[],
        decided_by="rules",
        decided_at=fields["event_time"] + 1,
    )
    decision = SinkRecord("decisions", 0, 0, fraud.key, decided.to_json(), decided.decided_at)
    with closing(SINKS["lake"](str(tmp_path / "lake"))) as sink:
        sink.write([*records, decision])
    found = analyse(load_settings(lake_uri=str(tmp_path / "lake")), ["losses", "commission"], store=False)
    assert found.transactions == len(records)
    losses, commission = ({n: t.to_pylist() for n, t in r.tables.items()} for r in found.results)
    assert losses["by_currency"][0]["frauds"] == sum(bool(dict(r.headers)["label"]) for r in records)
    assert (losses["by_currency"][0]["saved"], losses["by_rule"][0]["rule"]) == (1, "HIGH_AMOUNT")
    assert commission["by_type"]


def test_range_is_from_since_to_before_until(one_engine: None, small: Made, tmp_path: Path) -> None:
    day = min(payment["day"] for payment in small.payments) + timedelta(days=10)
    times = sorted(p["event_time"] for p in small.payments if day <= p["day"] < day + timedelta(days=3))
    since = times[0].replace(hour=0, minute=0, second=0, microsecond=0)
    settings = load_settings(lake_uri=str(small.lake))
    found = analyse(settings, ["patterns"], since, since + timedelta(days=3), store=False)
    assert (found.transactions, found.since, found.until) == (len(times), since, since + timedelta(days=3))


def test_a_job_that_fails_leaves_the_others(place: Place, one_engine: None, small: Made) -> None:
    broken = replace(JOBS["channels"], run=lambda sources: {"none": sources.transactions.select("no_such_column")})
    place.monkeypatch.setitem(JOBS, "channels", broken)
    done = place.run("channels", "patterns", "--no-report", lake=small.lake)
    assert isinstance(done.exception, JobsFailed) and "channels" in str(done.exception)
    runs = place.postgres.query("SELECT job, status, error LIKE '%no_such_column%' FROM analytics_runs ORDER BY job")
    assert runs == [("channels", "failed", True), ("patterns", "done", None)]


def test_a_run_that_is_interrupted_is_not_left_running(place: Place, one_engine: None, small: Made) -> None:
    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    place.postgres.query(
        "INSERT INTO analytics_runs (run_id, job, started_at, source, status)"
        " VALUES (gen_random_uuid(), 'channels', now() - INTERVAL '2 days', 'postgres', 'running') RETURNING 1"
    )
    place.monkeypatch.setitem(JOBS, "channels", replace(JOBS["channels"], run=interrupted))
    place.run("channels", "--no-report", lake=small.lake)
    runs = place.postgres.query("SELECT status, error FROM analytics_runs ORDER BY started_at")
    assert runs == [
        ("failed", "the command ended before the job was done (killed)"),
        ("failed", "the command ended before the job was done (KeyboardInterrupt)"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("comission",), "there is no job 'comission'; the nearest one is commission"),
        (("--since", "2030-01-01"), "has no transactions since 2030-01-01 00:00 (UTC): name another range"),
        (("--since", "2026-02-01", "--until", "2026-01-01"), "there is nothing in between"),
    ],
)
def test_what_cannot_be_answered_is_said(
    arguments: tuple[str, ...], said: str, place: Place, one_engine: None, small: Made
) -> None:
    done = place.run(*arguments, lake=small.lake)
    assert isinstance(done.exception, JobError) and said in str(done.exception)


def test_a_spark_of_yours_reads_the_lake_and_nothing_else(place: Place, one_engine: None) -> None:
    done = place.run(SPARK_REMOTE="sc://127.0.0.1:1")
    assert isinstance(done.exception, JobError)
    assert str(done.exception).startswith("the Spark of SPARK_REMOTE reads the lake itself")


@pytest.mark.soak
def test_an_engine_that_dies_is_an_error_and_one_of_a_killed_command_ends(tmp_path: Path) -> None:
    before = psutil.Process().children()
    with quiet(), spark(tmp_path) as session:
        [engine] = [child for child in psutil.Process().children() if child not in before]
        engine.kill()
        with pytest.raises(PySparkException):
            session.range(3).count()
    code = "from streamguard.analytics.server import running; from pathlib import Path; import sys\n"
    code += f"with running(Path({str(tmp_path)!r})) as address: print(address, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline().startswith(b"sc://127.0.0.1:")
    [engine] = psutil.Process(parent.pid).children()
    parent.kill()
    parent.communicate()
    eventually(engine.is_running, lambda runs: not runs)


def test_nothing_to_read_is_said(place: Place, one_engine: None) -> None:
    done = place.run()
    assert isinstance(done.exception, JobError)
    assert str(done.exception).startswith("Postgres has no transactions yet: send some")


def test_a_database_that_is_away_is_said(place: Place, one_engine: None, small: Made) -> None:
    place.monkeypatch.setattr(place.postgres, "url", lambda: f"postgresql://u:p@127.0.0.1:{free_port()}/none")
    done = place.run("patterns", lake=small.lake)
    assert isinstance(done.exception, DatabaseUnavailable) and "--no-store" in str(done.exception)


def test_a_spark_that_does_not_answer_is_said(place: Place, small: Made) -> None:
    where = f"127.0.0.1:{free_port()}"
    done = place.run("patterns", lake=small.lake, SPARK_REMOTE=f"sc://{where}/;token=secret")
    assert isinstance(done.exception, JobError)
    assert str(done.exception).startswith(f"Spark at SPARK_REMOTE={where} does not answer") and "secret" not in str(
        done.exception
    )
    done = place.run("patterns", lake=small.lake, SPARK_REMOTE="spark")
    assert str(done.exception) == "SPARK_REMOTE is 'spark': an address such as sc://spark.example.org:15002 is needed"


_WITHOUT_PYSPARK = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "pyspark":
            raise ModuleNotFoundError("No module named 'pyspark'", name="pyspark")
sys.meta_path.insert(0, Hidden())
from streamguard.cli import main
main()
"""


def test_without_the_extra_one_sentence_says_how_to_get_it() -> None:
    command = [sys.executable, "-c", _WITHOUT_PYSPARK, "analyse"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "streamguard: this needs the package pyspark, of the extra batch: ./start.sh --with batch,"
        " or pip install 'streamguard[batch]'\n"
    )
