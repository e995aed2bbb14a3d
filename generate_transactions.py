#!/usr/bin/env python3
"""The transaction generator: a menu without arguments, else the commands of `streamguard generate`.

    ./generate_transactions.py
    ./generate_transactions.py batch --count 5000 --seed 7
    ./generate_transactions.py stream --tps 100 --duration 60
    ./generate_transactions.py --help

Runs under any Python 3: one without the packages hands over to the project's own `.venv`.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VENV_PYTHON = os.path.join(HERE, ".venv", "bin", "python")
HANDED_OVER = "GENERATOR_HANDED_OVER"


def main():
    """Import the packages, or find a Python that can, or say what to type."""
    try:
        from streamguard.cli import load_generator

        run = load_generator()
    except ImportError as error:
        if os.path.exists(VENV_PYTHON) and HANDED_OVER not in os.environ:
            os.environ[HANDED_OVER] = "1"
            os.execv(VENV_PYTHON, [VENV_PYTHON, os.path.abspath(__file__), *sys.argv[1:]])
        remedy = "type ./start.sh, which installs everything, or: python3 -m venv .venv && .venv/bin/pip install -e ."
        sys.exit(f"{error}; {remedy}")
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
