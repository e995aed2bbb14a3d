# Sourced by the scripts of the project: ensure_venv WHAT makes .venv with the project in it, unless it is there.

# The first Python of 3.10 or later, by path; a clear word if there is none.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
       "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
      command -v "$candidate"
      return 0
    fi
  done
  echo "StreamGuard needs Python 3.10 or later with venv (on Debian and Ubuntu: apt install python3-venv);" \
       "found: $(python3 --version 2>/dev/null || echo none). PYTHON=/path/to/python names another." >&2
  return 1
}

# Whether programs of this folder run: on a disk that is mounted noexec the compiled parts of packages cannot be loaded.
runs_programs() {
  local code=0
  { printf '#!/bin/sh\n' > .venv-probe && chmod +x .venv-probe && ./.venv-probe; } 2>/dev/null || code=$?
  rm -f .venv-probe
  [ "$code" -ne 126 ]
}

# Into .venv, whatever pip's settings of this person say about other places (user = yes, PIP_TARGET).
pip_install() {
  # Readable by others: Postgres, which refuses to run as root, is run as `nobody` then.
  (umask 022 && env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PYTHONPATH -u PYTHONHOME PIP_USER=0 LC_ALL=C.UTF-8 \
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@")
}

# Python reads the file with the path to src in the encoding of the locale: with a path from its own place it is plain ASCII,
# wherever the clone is. Programs for which pip makes a shell find Python, as a path with blanks does, look for it beside
# them: in quotes a shell would still act on `"` and `$` of the path.
paths_of_their_own_place() {
  LC_ALL=C.UTF-8 .venv/bin/python -I - <<'PYTHON'
import os, pathlib, sysconfig
packages = pathlib.Path(sysconfig.get_paths()["purelib"])
[path_file] = packages.glob("__editable__.streamguard-*.pth")
path_file.write_text(os.path.relpath("src", packages) + "\n", encoding="ascii")
for name in ("streamguard", "ksql", "ksql-test-runner"):
    program = pathlib.Path(".venv/bin", name)
    head, middle, rest = program.read_text(encoding="utf-8").partition("\n' '''\n")
    if middle and head.startswith("#!/bin/sh"):
        beside = """#!/bin/sh\n'''exec' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@\""""
        program.write_text(beside + middle + rest, encoding="utf-8")
PYTHON
}

# ensure_venv .        the application
# ensure_venv ".[dev]" and what the tests need
# The versions are those of the lock files, or with NEWEST=1 the newest that pyproject.toml allows.
# A checksum of these files in .venv/.installed says that nothing changed; pip is not run then.
ensure_venv() {
  local what=$1 stamp wanted python lock
  stamp=".venv/.installed"
  lock=requirements.lock
  if [ "$what" != . ]; then lock=requirements-dev.lock; fi
  wanted="$(cat pyproject.toml requirements.lock requirements-dev.lock | cksum) ${NEWEST:-locked} $PWD"
  if [ -x .venv/bin/python ] && grep -qxF "$what $wanted" "$stamp" 2>/dev/null && .venv/bin/python -I -c '' 2>/dev/null; then
    return 0
  fi
  if ! .venv/bin/python -I -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
    python=$(find_python) || return
    if ! runs_programs; then
      echo "StreamGuard cannot be installed in $PWD: no program runs from this disk (it is mounted noexec); clone it to another" >&2
      return 1
    fi
    echo "Making .venv with $("$python" --version)"
    (umask 022 && env -u PYTHONPATH -u PYTHONHOME "$python" -m venv --clear .venv) || return
  fi
  echo "Installing StreamGuard into .venv (once)"
  if [ -n "${NEWEST:-}" ]; then
    pip_install --upgrade --upgrade-strategy eager --editable "$what" || return
  else
    # The lock file is complete. With dependencies pip would look at newer versions of them, too, and refuse those.
    # Each by itself: `set -e` has no effect in a function that is part of a condition, and a failed installation has no stamp.
    pip_install --no-deps --require-hashes --requirement "$lock" || return
    # setuptools, which builds it, is one of the packages just installed.
    pip_install --no-deps --no-build-isolation --editable . || return
  fi
  paths_of_their_own_place || return
  echo "$what $wanted" >> "$stamp"
  # What serves the tests serves the application.
  if [ "$what" != . ]; then echo ". $wanted" >> "$stamp"; fi
}

# The names behind --with among the arguments of start.sh, with blanks between.
extras_of() {
  local names=""
  while [ $# -gt 0 ]; do
    case $1 in
      --with) names="$names ${2:-}" ;;
      --with=*) names="$names ${1#--with=}" ;;
    esac
    shift
  done
  echo "${names//,/ }"
}

# Those that .venv has.
installed_extras() {
  cut -d' ' -f1 .venv/.extras 2>/dev/null || true
}

# ensure_extras NAME... installs what each needs, in the versions of its lock file; a name without one is left to `up`.
ensure_extras() {
  local name line
  for name in "$@"; do
    case $name in *[!a-z]*) continue ;; esac
    if [ ! -f "requirements/$name.lock" ]; then continue; fi
    line="$name $(cksum < "requirements/$name.lock") ${NEWEST:-locked}"
    if grep -qxF "$line" .venv/.extras 2>/dev/null; then continue; fi
    echo "Installing what $name needs into .venv (once)"
    if [ -n "${NEWEST:-}" ]; then
      pip_install --upgrade --upgrade-strategy eager --editable ".[$name]" && paths_of_their_own_place || return
    else
      pip_install --no-deps --require-hashes --requirement "requirements/$name.lock" || return
    fi
    { grep -v "^$name " .venv/.extras 2>/dev/null || true; echo "$line"; } > .venv/.extras.new
    mv .venv/.extras.new .venv/.extras
  done
}
