"""Every difference that docs/ksql-compatibility.md lists is one: what shows it is run, or is a test that is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamguard_ksql.errors import ROW_ERRORS, KsqlError
from streamguard_ksql.testing.harness import Harness
from tests.streamguard_ksql.functions.test_function_cases import evaluate, shown
from tests.streamguard_ksql.test_cases import CASES
from tests.support.recordings import PROJECT_ROOT

HERE = Path(__file__).parent
FILE = PROJECT_ROOT / "docs" / "ksql-compatibility.differences.json"
DIFFERENCES: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))


@pytest.mark.parametrize("entry", DIFFERENCES, ids=lambda entry: entry["difference"][:60])
def test_what_differs(entry: dict[str, Any]) -> None:
    if "test" in entry:
        file, _, name = entry["test"].partition("::")
        assert f"def {name}(" in (HERE / file).read_text("utf-8")
    elif "case" in entry:
        assert entry["case"] in {f"{case.path.stem}: {case.name}" for case in CASES}
    elif "error" not in entry:
        assert _outcome(entry) == entry.get("value")
    else:
        with pytest.raises((KsqlError, *ROW_ERRORS)) as error:
            _outcome(entry)
        assert entry["error"] in str(error.value)


def _outcome(entry: dict[str, Any]) -> Any:
    if "sql" in entry:
        return shown(evaluate(entry["sql"]))
    Harness().run_script("\n".join(entry["statements"]))
    return None
