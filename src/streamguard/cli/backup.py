"""`streamguard backup FILE` and `streamguard restore FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamguard.cli.shared import new_app
from streamguard.config import get_settings

backup_app = new_app("Write database, topics and SQL statements into one file, while everything runs.")
restore_app = new_app("Fill an empty place from a backup.")


def _report(sentence: str) -> None:
    print(f"  {sentence}", flush=True)


@backup_app.command()
def backup(file: Annotated[Path, typer.Argument(help="The file to make; readable by its owner alone.")]) -> None:
    """Write database, topics and SQL statements into one file, as they are at one moment, while everything runs."""
    from streamguard.privacy.key import key_file
    from streamguard.stack.backup.create import backup as run
    from streamguard.stack.backup.create import mebibytes

    settings = get_settings()
    path = file.expanduser().absolute()
    manifest = run(settings, path, _report)
    print(f"{path}: {mebibytes(path.stat().st_size)}, as of {manifest.made_at}")
    if manifest.broker_bytes is None:
        _report(
            f"topics and SQL statements are not in it: Kafka at {settings.kafka_bootstrap_servers} is not part of this"
            " stack; back it up by its own means, after the database"
        )
    if key_file(settings).exists():
        _report(f"the key of masks and tokens is not in it either: keep {key_file(settings)} where secrets are kept")


@restore_app.command()
def restore(file: Annotated[Path, typer.Argument(help="A file that `streamguard backup` made.")]) -> None:
    """Fill an empty place from a backup: a new state folder, any ports. `streamguard up` starts it."""
    from streamguard.stack.backup.restore import restore as run

    settings = get_settings()
    manifest = run(settings, file.expanduser().absolute(), _report)
    print(f"{settings.state_path} is as of {manifest.made_at}; `streamguard up` starts it")
    if manifest.broker_bytes is None:
        _report("topics and SQL statements were not in the file")
