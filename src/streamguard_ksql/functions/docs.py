"""Writes docs/ksql-compatibility.md: the functions, from the registry, and what differs, from data files.

    python -m streamguard_ksql.functions.docs [PATH]

Beside PATH may lie `ksql-compatibility.differences.json`, what differs from ksqlDB, each with what shows it, which a test runs:
`[{"difference": "...", "sql": "LEN(x)", "value": 1}]`; and `ksql-compatibility.failing.json`, a summary of a run of
`ksql-test-runner` over ksqlDB's own cases:
`{"total": 767, "passed": 760, "failing": [{"case": "joins.json: left join", "reason": "..."}]}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamguard_ksql.functions.registry import FUNCTIONS, Function

DEFAULT_PATH = Path("docs/ksql-compatibility.md")

_HEAD = """\
# What of ksqlDB is here

Written by `python -m streamguard_ksql.functions.docs`; do not edit it by hand.

The engine follows ksqlDB 0.29.0: its SQL, its functions with their signatures, its REST API and its messages when it
refuses.
"""

_RECORDED = """\
## Recordings

Of what a running ksqlDB 0.29.0 was recorded to do, all is done here: 312 of 312 queries and refusals
(`tests/recordings/queries.json`; those that differ would be listed in `queries.failing.json`, and a test keeps that list exact),
144 of 144 requests to its REST API, 81 of them of the official command line (`rest.json`, `cli.json`), and all scripts that
people published (`tests/recordings/scripts`). Left out of account are ids, times, sizes and hosts, the text of plans and of
functions' descriptions, why there is no Kafka Connect, and the rows of one push query whose changes ksqlDB's cache merges.

Random expressions and queries are compared with a reading of ksqlDB's manual that shares nothing with the engine
(`tests/streamguard_ksql/differential`)."""


def render(failing: dict[str, Any] | None = None, differences: Sequence[Mapping[str, Any]] = ()) -> str:
    """The whole page; `failing` and `differences` as in the module's description."""
    kinds = {"SCALAR": "Scalar functions", "AGGREGATE": "Aggregate functions", "TABLE": "Table functions"}
    parts = [_HEAD, f"## Functions\n\n{len(FUNCTIONS)} functions.\n"]
    for kind, title in kinds.items():
        functions = [function for _, function in sorted(FUNCTIONS.items()) if function.kind == kind]
        parts.append(_table(title, functions))
    if differences:
        lines = [f"- {entry['difference']}{_shown(entry)}" for entry in differences]
        parts.append("\n".join(["## Known differences\n", *lines]) + "\n")
    if failing is not None:
        parts.append(_cases(failing))
    return "\n".join(parts)


def _table(title: str, functions: list[Function]) -> str:
    lines = [f"### {title}\n", "| function | signatures | what it gives |", "|---|---|---|"]
    for function in functions:
        signatures = "<br>".join(f"`{v.signature} -> {v.signature.returns}`" for v in function.variants)
        what = function.description
        if function.kind == "AGGREGATE":
            what += f" ({_sources(function)})"
        lines.append(f"| `{function.name}` | {signatures} | {what} |")
    return "\n".join(lines) + "\n"


def _sources(function: Function) -> str:
    undoable = all(hasattr(variant.body, "undo") for variant in function.variants)
    return "streams and tables" if undoable else "streams only"


def _shown(entry: Mapping[str, Any]) -> str:
    """The expression that shows a difference, with what it gives here."""
    if "sql" not in entry:
        return ""
    return f" Here `{entry['sql']}` is {'NULL' if 'error' in entry else json.dumps(entry['value'])}."


def _cases(failing: dict[str, Any]) -> str:
    lines = [f"## ksqlDB's own cases\n\n{failing['passed']} of {failing['total']} pass. The others, with the reason:\n"]
    lines += [f"- **{case['case']}**: {case['reason']}" for case in failing["failing"]]
    lines += ["", _RECORDED]
    return "\n".join(lines) + "\n"


def page(path: Path = DEFAULT_PATH) -> str:
    """The page as it should be at `path`, with the differences and failing cases that are recorded beside it."""
    failing, differences = (_beside(path, what) for what in ("failing", "differences"))
    return render(failing, differences or ())


def _beside(path: Path, what: str) -> Any:
    file = path.with_suffix(f".{what}.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(path), encoding="utf-8")
    print(f"{path}: {len(FUNCTIONS)} functions")


if __name__ == "__main__":
    main()
