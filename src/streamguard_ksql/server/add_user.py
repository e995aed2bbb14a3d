"""`python -m streamguard_ksql.server.add_user --data-dir DIR NAME [--role read]`: add or change a user; asks for the password.

A running server reads the file again when it has changed.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from streamguard_ksql.server.logins import READ, WRITE
from streamguard_ksql.server.users import USERS_FILE, UsersError, new_user, read_users, write_users


def main(arguments: list[str] | None = None) -> int:
    """0 when stored; the password comes from the terminal or, without one, from the first line of stdin."""
    parser = argparse.ArgumentParser(prog="add_user", description="Add or change a user of the SQL engine.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the server's, which has the file of users")
    parser.add_argument("--role", action="append", help=f"{READ}, {WRITE} (default) or another; may be repeated")
    parser.add_argument("name")
    given = parser.parse_args(arguments)
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    path = given.data_dir / USERS_FILE
    roles = tuple(given.role or [WRITE])
    try:
        users = read_users(path) if path.exists() else {}
        write_users(path, {**users, given.name: new_user(given.name, password, roles)})
    except (UsersError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.name} may log in with the role {', '.join(roles)}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
