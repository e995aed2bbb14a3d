"""`python -m streamguard_broker.security.add_user --data-dir DIR NAME`: add or change a user; asks for the password.

A running broker reads its users at the start; on a running one use Kafka's own tools (AlterUserScramCredentials).
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.filesystem import FileSystem


def main(arguments: list[str] | None = None) -> int:
    """0 when stored; the password comes from the terminal or, without one, from the first line of stdin."""
    parser = argparse.ArgumentParser(prog="add_user", description="Add or change a user of the broker.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("name")
    given = parser.parse_args(arguments)
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        print("The password is empty.", file=sys.stderr)
        return 1
    fs = FileSystem()
    fs.make_directory(given.data_dir)
    path = given.data_dir / USERS_FILE
    Users(path, fs).set_password(given.name, password)
    path.chmod(0o600)
    print(f"{given.name} may log in with SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
