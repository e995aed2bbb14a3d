#!/usr/bin/env bash
# Stop StreamGuard. --wipe removes its data, --keep (the default) keeps it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if [ ! -x .venv/bin/python ]; then
  echo "  nothing runs (there is no .venv yet)"
  exit 0
fi
exec .venv/bin/python -I -m streamguard.cli down --by-script "$@"
