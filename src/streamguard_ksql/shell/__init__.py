"""The `ksql` shell: SQL typed, or in a file, to a ksqlDB server over its documented REST API, and its answers drawn.

The life of a text:

1. `main` reads the arguments; `interactive` reads statements from a person, `-e`, `-f` or standard input give a script.
2. `session.Session.run_script` cuts it into statements, and each goes where it belongs: the shell's own commands to
   `commands`, SELECT and PRINT to `/query` (`queries`), all else to `/ksql`.
3. `client` uses HTTP/1.1; `render` turns entities into tables, `tables` draws them.

It works with the embedded engine and with a ksqlDB 0.29 server alike. It imports nothing of the engine but the splitting
of scripts, the variables and the list of reserved words.

Source: docs/operate-and-deploy/installation/cli-config.md and docs/developer-guide/ksqldb-rest-api of the manual.
"""

from streamguard_ksql.shell.main import main

__all__ = ["main"]
