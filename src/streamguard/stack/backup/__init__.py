"""`streamguard backup` and `streamguard restore`: the whole stack in one file, taken while everything runs.

1. `create.backup` holds the locks of deployments and of the outbox, takes a snapshot of the database (`dump.Snapshot`), and
   a moment later one of the broker (`frozen.BrokerFiles`).
2. Both are copied into the file (`archive.Writer`) while all goes on: they stay as they were.
3. `restore.restore` builds database and broker beside their places, checks every byte, and only then moves them there.

Why the books add up is in docs/runbook.md, "Backup".
"""

from __future__ import annotations
