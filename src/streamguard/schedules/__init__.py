"""Commands of ours at times: `streamguard schedule run`, one process.

1. `plan` reads schedule.yaml: which command when, how often it is tried again, how long it may take.
2. `runner` lets APScheduler say when; what was missed while the process was not there is known from the history.
3. `execute` runs the command as a process of its own, again after a pause where it fails.
4. `history` keeps each run in Postgres; `streamguard.metrics.schedule` counts them, for the alarm ScheduledJobFailed.
"""
