#!/usr/bin/env bash
# Writes requirements.lock (the application), requirements-dev.lock (and what the tests need) and requirements/EXTRA.lock (and
# what an extra of start.sh --with needs, in the versions that the tests have): exact versions with hashes, for every
# platform and Python that pyproject.toml allows. Run it after a change of the dependencies there; --upgrade takes the newest
# versions. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() {
  local output=$1
  shift
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-emit-index-url \
    --custom-compile-command scripts/lock.sh --output-file "$output" pyproject.toml "$@"
}
compile requirements.lock "$@"
compile requirements-dev.lock --extra dev --constraint requirements.lock "$@"
for extra in lake mongodb warehouse batch otel; do
  compile "requirements/$extra.lock" --extra "$extra" --constraint requirements-dev.lock
done
