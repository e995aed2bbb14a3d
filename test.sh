#!/usr/bin/env bash
# Everything that CI runs, from a clone with nothing installed: style, types, import contracts, tests.
# Arguments go to pytest; --soak adds the tests that take minutes of load.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/venv.sh
ensure_venv ".[dev]"
marks="not soak"
if [ "${1:-}" = "--soak" ]; then marks=""; shift; fi
run() { echo "== $*"; "$@"; }
run .venv/bin/ruff check .
run .venv/bin/ruff format --check .
run .venv/bin/mypy
run .venv/bin/lint-imports
# Most tests wait for processes rather than compute: two workers, a file each, halve the time.
run .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "$marks" "$@"
