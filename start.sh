#!/usr/bin/env bash
# Install what is missing, start StreamGuard, wait until it is ready. See ./start.sh --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/venv.sh
extras="$(installed_extras) $(extras_of "$@")"
ensure_venv .
# shellcheck disable=SC2086 # names without blanks
ensure_extras $extras
exec .venv/bin/python -I -m streamguard.cli up --by-script "$@"
