"""`ksql-test-runner`: ksqlDB's own arguments for one script, and case files or folders.

    ksql-test-runner -s statements.sql -i input.json -o output.json
    ksql-test-runner CASES... [--report FILE]

Exit code 0 if all passed, 1 if any failed or could not be run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamguard_ksql.testing.cases import Case, CaseFileError, find_files, load, load_records
from streamguard_ksql.testing.run import Difference, run_case
from streamguard_ksql.visible import OutputError, allow_any_character, one_line, print_line, visible

app = typer.Typer(add_completion=False)


@app.command()
def run(
    paths: Annotated[list[Path] | None, typer.Argument(help="Case files, or folders of them.")] = None,
    sql_file: Annotated[Path | None, typer.Option("-s", "--sql-file", help="SQL statements to test.")] = None,
    input_file: Annotated[Path | None, typer.Option("-i", "--input-file", help="Input records (JSON).")] = None,
    output_file: Annotated[
        Path | None, typer.Option("-o", "--output-file", help="Expected output records (JSON).")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report, with a reason per failed case.")] = None,
) -> None:
    """Test ksqlDB statements without a broker."""
    try:
        if sql_file is not None:
            raise typer.Exit(_run_script(sql_file, input_file, output_file))
        if not paths:
            raise CaseFileError("Nothing to test: give -s, -i and -o, or case files or folders (see --help).")
        raise typer.Exit(_run_files(list(find_files(paths)), report))
    except (CaseFileError, OutputError) as error:
        print(visible(str(error)), file=sys.stderr)
        raise typer.Exit(1) from None


def _run_script(sql_file: Path, input_file: Path | None, output_file: Path | None) -> int:
    """One script with its records, as ksqlDB's own runner does it."""
    if output_file is None:
        raise CaseFileError("The expected records are missing: give them with -o FILE.")
    try:
        text = sql_file.read_text(encoding="utf-8")
    except OSError as error:
        raise CaseFileError(f"{sql_file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CaseFileError(f"{sql_file}: is not UTF-8: {error.reason}") from None
    inputs = load_records(input_file, "inputs") if input_file is not None else ()
    outputs = load_records(output_file, "outputs")
    reason = _reason(Case(sql_file, sql_file.name, (text,), inputs, outputs))
    if reason is None:
        print_line("\t >>> Test passed!")
        return 0
    print_line(f"\t >>>>> Test failed: {visible(reason)}")
    return 1


def _run_files(files: Sequence[Path], report: Path | None) -> int:
    passed, failures = 0, []
    for path in files:
        cases = load(path)
        good = 0
        for case in cases:
            reason = _reason(case)
            if reason is None:
                good += 1
            else:
                failures.append({"file": path.name, "name": case.name, "reason": reason})
        passed += good
        print_line(f"{one_line(str(path))} {good}/{len(cases)}")
    for failure in failures:
        print_line(f"FAILED {one_line(failure['file'])}: {one_line(failure['name'])}\n  {visible(failure['reason'])}")
    print_line(f"{passed} passed, {len(failures)} failed")
    if report is not None:
        content = {"passed": passed, "failed": len(failures), "failures": failures}
        try:
            report.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise CaseFileError(f"{report}: cannot be written: {error.strerror}") from None
    return 1 if failures else 0


def _reason(case: Case) -> str | None:
    """Why a case fails, None if it passes. A fault of the engine fails its case, and says so."""
    try:
        run_case(case)
    except Difference as difference:
        return str(difference)
    except Exception as error:
        return f"engine error: {type(error).__name__}: {error}"
    return None


def main() -> None:
    """The console script."""
    allow_any_character()
    app()
