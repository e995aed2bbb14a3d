"""The embedded stack: every part on this machine, without Docker, kept by supervisord.

How `./start.sh` brings it up (`streamguard.stack.up.start`):

1. `ports.check_free` names a taken port and the variable that moves it.
2. `conf.write` makes supervisord's configuration of the settings; supervisord starts.
3. Postgres (`postgres.main`) and the broker start side by side; `readiness` waits until both answer.
4. The schema is laid and the topics are made; the SQL engine starts and answers.
5. `streamguard.sqldeploy` sends the SQL; the consumer and the generator stream start.
"""
