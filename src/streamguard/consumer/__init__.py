"""The consumer: stores transactions and alerts, and decides on them."""

CONSUMER_NAME = "streamguard-consumer"
"""The application name of its connections in `pg_stat_activity`; the stack waits for one."""
