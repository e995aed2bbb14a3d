#!/usr/bin/env bash
# Install what is missing, start StreamGuard, wait until it is ready. See ./start.sh --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/venv.sh
ensure_venv .
exec .venv/bin/python -I -m streamguard.cli up --by-script "$@"
