"""The transactions and the jobs in a notebook: `data = open_data()`, then `data.sources` and `data.job(name)`."""

from __future__ import annotations

import atexit
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from streamguard.analytics.catalogue import Sources, load_jobs
from streamguard.analytics.run import collect
from streamguard.analytics.session import spark
from streamguard.analytics.source import Span, open_sources
from streamguard.config import get_settings


@dataclass(frozen=True)
class Data:
    """A session, what it reads, and where from; ended with `close`, or with the notebook."""

    spark: Any
    sources: Sources
    source: str
    transactions: int
    _stack: ExitStack

    def job(self, name: str) -> dict[str, Any]:
        """What a job finds: its tables as pandas DataFrames, by name. Raises JobError for a name that there is not."""
        [job] = load_jobs([name])
        return {table: found.to_pandas() for table, found in collect(job, self.sources).items()}

    def close(self) -> None:
        """End the session, and the engine that was started for it."""
        self._stack.close()


def open_data(since: datetime | None = None, until: datetime | None = None) -> Data:
    """The transactions of [since, until), all without bounds, with every column that a job needs. Raises UserError."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"pyspark\.")
    jobs, stack = load_jobs(), ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamguard-notebook-")))
    try:
        session = stack.enter_context(spark(folder))
        opened = stack.enter_context(open_sources(get_settings(), session, folder, Span(since, until), jobs))
    except BaseException:
        stack.close()
        raise
    atexit.register(stack.close)
    return Data(session, opened.sources, opened.name, opened.transactions, stack)
