"""Without what PySpark says to those who program in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No warning that pandas is newer than PySpark knows, nor that a window is not divided."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"pyspark\.")
        warnings.filterwarnings("ignore", message="WARN WindowExpression", category=UserWarning)
        yield
