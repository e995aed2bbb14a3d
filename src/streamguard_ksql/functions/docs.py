"""Writes docs/ksql-compatibility.md: the functions, from the registry, and the cases that fail, from a small data file.

    python -m streamguard_ksql.functions.docs [PATH]

Beside PATH may lie `ksql-compatibility.failing.json`, a summary of a run of `ksql-test-runner` over ksqlDB's own cases:
`{"total": 767, "passed": 760, "failing": [{"case": "joins.json: left join", "reason": "..."}]}`.
"""

from __future__ import annotations

import json
import sys
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

_DIFFERENCES = """\
## Known differences in values

- `COUNT_DISTINCT` is exact up to 1024 different values; beyond, an estimate with an error of about 2%, as in ksqlDB,
  but not the same estimate.
- `STDDEV_SAMP` gives the variance of the sample, as ksqlDB 0.29 does; `STDDEV_SAMPLE` gives the standard deviation.
- The last digit of `SIN`, `COS`, `TAN`, `EXP`, `LOG` and `POWER` is that of the C library.
- A regular expression that takes longer than `ksql.functions.regexp.timeout.ms` (1,000) on one text ends its query.
  One of more than 10,000 characters, or whose counted repetitions (`{n}`) make more than 50,000 parts, is refused.
- Texts are ordered by code points, in Java by UTF-16 units: characters beyond the basic plane (emoji) are behind those
  from U+E000 to U+FFFF.
- An array that `ARRAY_SORT` sorted, or bytes that `CONCAT` read, in a WHERE or an aggregate are as before in the SELECT.
- Names of time zones (`z`, `v` in date patterns) are those of Java 11, on which ksqlDB 0.29 runs; which offset a zone has at a
  date is taken from this machine's time zone database.
- Week numbers (`w`, `W`, `Y`, `e` in date patterns) are those of the locale en_US.
- `GENERATE_SERIES`, `CUBE_EXPLODE` and `REDUCE` give at most 1,000,000 elements, `LPAD`, `RPAD`, `REPLACE`,
  `REGEXP_REPLACE` and `REDUCE` at most 16 MiB: beyond, the result is NULL with an entry in the processing log, where
  ksqlDB would take all memory. A number in JSON with an exponent beyond 10,000 cannot be read.
- Avro, Protobuf and JSON Schema with a schema registry are not supported; `PROTOBUF_NOSR`, which needs none, is.
"""


_RECORDED = """\
## Recorded queries

`tests/recordings/queries.json` has 312 queries and refusals with the results of a running ksqlDB 0.29.0. Those in which
the engine differs are listed by name in `tests/recordings/queries.failing.json`, and a test keeps that list exact.
`tests/recordings/scripts` has scripts that people published, with the same server's results; the engine's are equal."""


def render(failing: dict[str, Any] | None = None) -> str:
    """The whole page; `failing` as in the module's description."""
    kinds = {"SCALAR": "Scalar functions", "AGGREGATE": "Aggregate functions", "TABLE": "Table functions"}
    parts = [_HEAD, f"## Functions\n\n{len(FUNCTIONS)} functions.\n"]
    for kind, title in kinds.items():
        functions = [function for _, function in sorted(FUNCTIONS.items()) if function.kind == kind]
        parts.append(_table(title, functions))
    parts.append(_DIFFERENCES)
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


def _cases(failing: dict[str, Any]) -> str:
    lines = [f"## ksqlDB's own cases\n\n{failing['passed']} of {failing['total']} pass. The others, with the reason:\n"]
    lines += [f"- **{case['case']}**: {case['reason']}" for case in failing["failing"]]
    lines += ["", _RECORDED]
    return "\n".join(lines) + "\n"


def page(path: Path = DEFAULT_PATH) -> str:
    """The page as it should be at `path`, with the failing cases that are recorded beside it."""
    recorded = path.with_suffix(".failing.json")
    return render(json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else None)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(path), encoding="utf-8")
    print(f"{path}: {len(FUNCTIONS)} functions")


if __name__ == "__main__":
    main()
