#!/usr/bin/env bash
# pytest-twice.sh ARGUMENTS: pytest, and once more what failed. A test that then passes is flaky: it is named at the end.
# Exits as pytest does: 0 if each test passed once, 1 if one failed twice.
set -euo pipefail
python=${PYTHON:-.venv/bin/python}

last_failed() {
  "$python" - <<'SCRIPT'
import json, pathlib
cache = pathlib.Path(".pytest_cache/v/cache/lastfailed")
print(*sorted(json.loads(cache.read_text()) if cache.exists() else ()), sep="\n")
SCRIPT
}

code=0
"$python" -m pytest --cache-clear "$@" || code=$?
# 1 says that tests failed; anything else, such as an error while collecting, is not repeated.
if [ "$code" -ne 1 ]; then exit "$code"; fi
failed=$(last_failed)
echo "== once more what failed"
code=0
"$python" -m pytest --last-failed "$@" || code=$?
flaky=$(LC_ALL=C comm -23 <(LC_ALL=C sort <<< "$failed") <(last_failed | LC_ALL=C sort))
if [ -n "$flaky" ]; then printf '== flaky, failed once and passed then:\n%s\n' "$flaky"; fi
exit "$code"
