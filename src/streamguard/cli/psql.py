"""`streamguard psql`: psql on the database of the settings."""

from __future__ import annotations

import os

import typer

from streamguard.cli.shared import new_app
from streamguard.config import get_settings
from streamguard.stack.postgres import client_program

app = new_app("psql on the database; every argument is psql's own.")


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def psql(context: typer.Context) -> None:
    """Become psql, connected to DATABASE_URL: `streamguard psql -c "SELECT 1"`."""
    address = get_settings().database
    program = client_program("psql", address)
    environment = {**os.environ, **address.libpq_environment, "PGAPPNAME": "psql"}
    os.execvpe(program, [program, *context.args], environment)
