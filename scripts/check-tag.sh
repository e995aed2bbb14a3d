#!/usr/bin/env bash
# check-tag.sh v1.2.3: fails unless that is the version in pyproject.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
if [ "${1:-}" != "v$version" ]; then
  echo "the tag is ${1:-missing}, pyproject.toml says version $version: tag v$version, or change the version" >&2
  exit 1
fi
