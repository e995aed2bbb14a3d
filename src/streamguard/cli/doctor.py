"""`streamguard doctor`: whether everything is set up as it should be; changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from streamguard.cli.shared import new_app, print_line
from streamguard.stack.doctor import Report, examine

app = new_app(
    "Check settings, ports, disk, clocks, versions, topics, schema, SQL, rights, certificates; change nothing."
)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document.")] = False,
) -> None:
    """Check how the stack is set up, whether it runs or not. Exits 0 with no finding, 1 with findings, 2 if a check failed."""
    report = examine()
    if as_json:
        document = {"format": 1, "exit_code": report.exit_code, **asdict(report)}
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(report)
    raise typer.Exit(report.exit_code)


def _show(report: Report) -> None:
    for finding in report.findings:
        print_line(f"{finding.check}: {finding.what}")
        print_line(f"  cure: {finding.cure}")
    by_reason: dict[str, list[str]] = {}
    for one in report.unchecked:
        by_reason.setdefault(one.why, []).append(one.check)
    for why, names in by_reason.items():
        print_line(f"not checked, as {why}: {', '.join(names)}")
    found = len(report.findings)
    count = "nothing found" if not found else f"{found} finding{'s' if found > 1 else ''}"
    print_line(f"{report.made} checks made, {count}")
