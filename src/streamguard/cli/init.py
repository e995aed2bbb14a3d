"""`streamguard init`: copies of the SQL to edit. What is in `./ksqldb` is used instead of the packaged files."""

from __future__ import annotations

from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.config import UserError
from streamguard.config.resources import SQL_FOLDER, packaged_sql

app = new_app("Write copies of the SQL rules into ./ksqldb, to edit them.")


@app.command()
def init(
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there, edited ones too.")] = False,
) -> None:
    """Write the packaged SQL into ./ksqldb; files that are there stay, unless --force is given."""
    try:
        SQL_FOLDER.mkdir(exist_ok=True)
        for source in packaged_sql():
            target = SQL_FOLDER / source.name
            if target.exists() and not force:
                print(f"kept     {target} (--force replaces it)")
            else:
                target.write_bytes(source.read_bytes())
                print(f"written  {target}")
    except OSError as error:
        raise UserError(f"the SQL cannot be written into {SQL_FOLDER.absolute()}: {error.strerror}") from None
    print("Edit a file, then: streamguard deploy [FILE]")
