#!/usr/bin/env bash
# Everything that CI runs, from a clone with nothing installed: style, types, import contracts, tests.
# Arguments go to pytest; --soak adds the tests that take minutes of load, --coverage measures which statements the tests run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/venv.sh
ensure_venv ".[dev]"
marks="not soak"
coverage=()
while [ "${1:-}" = "--soak" ] || [ "${1:-}" = "--coverage" ]; do
  if [ "$1" = "--soak" ]; then marks=""; else
    # Not of the tests in whose process threads are interrupted: Python 3.11 does not survive that while it is measured.
    coverage=(--cov --cov-append --cov-report= --ignore=tests/streamguard_ksql/runtime)
  fi
  shift
done
run() { echo "== $*"; "$@"; }
run .venv/bin/ruff check .
run .venv/bin/ruff format --check .
# The types are checked beside the tests: either alone leaves a core idle for a minute.
types=$(mktemp)
.venv/bin/mypy > "$types" 2>&1 &
checking=$!
run .venv/bin/lint-imports
code=0
if [ ${#coverage[@]} -gt 0 ]; then
  .venv/bin/coverage erase
  # From Python 3.12 on, measuring costs next to nothing this way; before, tests that compute take half as long again.
  if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then export COVERAGE_CORE=sysmon; fi
fi
# Most tests wait for processes rather than compute: three workers keep two cores busy, a file each.
run scripts/pytest-twice.sh -n 3 --dist loadfile --no-loadscope-reorder -m "$marks" ${coverage[@]+"${coverage[@]}"} "$@" || code=$?
echo "== .venv/bin/mypy"
wait "$checking" || code=1
cat "$types"
rm -f "$types"
if [ ${#coverage[@]} -gt 0 ]; then
  # Of the code that the tests call themselves; what runs in processes of its own is not counted.
  echo "== coverage: $(.venv/bin/coverage report --format=total) % of statements"
fi
exit "$code"
