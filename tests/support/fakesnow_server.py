"""`python -m tests.support.fakesnow_server PORT FOLDER`: fakesnow as a server with its tables in files.

fakesnow notes the comment of each table that it makes in a DuckDB database of its own, also for the helper table of a MERGE;
DuckDB has no transaction over two databases, so a MERGE within a transaction would fail. Here comments are left out.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from fakesnow import info_schema
from fakesnow.instance import FakeSnow
from hypercorn.asyncio import serve
from hypercorn.config import Config


def main() -> None:
    port, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    info_schema.insert_table_comment_sql = lambda *_: "SELECT 1"
    # The package has a function of the same name.
    server: Any = import_module("fakesnow.server")
    server.shared_fs = FakeSnow(db_path=folder)
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(server.app, config))


if __name__ == "__main__":
    main()
