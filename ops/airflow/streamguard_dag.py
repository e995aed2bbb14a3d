"""StreamGuard's batch work as DAGs of Apache Airflow 2.9 or later: the same commands as `streamguard schedule` runs.

Copy or link this file into the DAGs folder. The commands run on Airflow's workers, which need StreamGuard with the extra batch
(`pip install 'streamguard[batch]'`) and its settings in the environment: DATABASE_URL, LAKE_URI, and SPARK_REMOTE for a Spark of
yours. Two variables of Airflow change where and when:

    streamguard_command   the program, `streamguard` if not set; a path where it is not on the workers' PATH
    streamguard_days      how many days are analysed, 90 if not set
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.models import Variable

try:
    from airflow.providers.standard.operators.bash import BashOperator  # Airflow 3
except ImportError:
    from airflow.operators.bash import BashOperator  # Airflow 2

COMMAND = Variable.get("streamguard_command", default_var="streamguard")
DAYS = int(Variable.get("streamguard_days", default_var="90"))
JOBS = ("channels", "commission", "lifetime", "losses", "merchants", "patterns", "revenue", "segments")
DEFAULTS = {
    "owner": "streamguard",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": True,
    "execution_timeout": timedelta(hours=1),
}
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

with DAG(
    "streamguard_analysis",
    description="Batch jobs over the history, each a task, up to the end of the day that was",
    schedule="0 2 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["streamguard"],
) as analysis:
    until = "{{ data_interval_end.strftime('%Y-%m-%dT00:00') }}"
    since = f"{{{{ (data_interval_end - macros.timedelta(days={DAYS})).strftime('%Y-%m-%dT00:00') }}}}"
    before = None
    for job in JOBS:
        task = BashOperator(
            task_id=job,
            bash_command=f"{COMMAND} analyse {job} --since {since} --until {until} --no-report",
            append_env=True,
        )
        # One after the other: each has an engine of its own, with memory of its own.
        if before is not None:
            before >> task
        before = task

with DAG(
    "streamguard_upkeep",
    description="Quality of the data, and removal of what is too old",
    schedule="30 3 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["streamguard"],
) as upkeep:
    # It fails where a limit is breached: nothing to try again.
    BashOperator(task_id="quality", bash_command=f"{COMMAND} quality --since 24h", append_env=True, retries=0)
    BashOperator(task_id="retention", bash_command=f"{COMMAND} retention --keep-days 400 --apply", append_env=True)
