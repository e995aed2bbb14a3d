"""The embedded stack: every part on this machine, without Docker, supervised by supervisord.

How `streamguard up` starts it (`streamguard.stack.up.start`):

1. What could fail is checked before anything is made: the state folder (`state.check`), the SQL files, the ports
   (`ports.conflicts`).
   What lives on of an earlier start is ended (`leftovers.end`).
2. `conf.write` makes supervisord's configuration from the settings; supervisord starts. It starts each part through
   `launcher`: the part ends with its supervisor and holds a lock of the state folder while it runs (`locks`).
3. Postgres (`postgres.serve`), the broker and the SQL engine start side by side; `readiness` waits until they answer.
4. The schema is applied and missing topics are created; `streamguard.sqldeploy` sends the SQL.
5. The consumer and the generator stream start.
"""
