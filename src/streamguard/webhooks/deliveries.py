"""The log of deliveries: what waits, what was delivered, what was given up; and sending something again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.rows import columns_of, select_as
from streamguard.users import audit

WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "given_up"
STATUSES = (WAITING, DELIVERED, GIVEN_UP)
MOST_COUNTED = 10_000
"""A page has to be there at once, however much was delivered in a month."""
KEPT_DAYS = 30
"""How long what is done stays in the log; its payload has personal data."""
_REMOVED_AT_ONCE = 5_000


class NoSuchDelivery(UserError):
    """A webhook has no delivery of this number."""


@dataclass(frozen=True)
class Delivery:
    """A row of the log, without its payload. `topic`, `partition_no` and `record_offset` are None for a test."""

    delivery_no: int
    message_id: Any
    topic: str | None
    partition_no: int | None
    record_offset: int | None
    status: str
    attempts: int
    created_at: datetime
    next_at: datetime
    last_at: datetime | None
    last_ms: int | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True)
class Counts:
    """Deliveries of a webhook by their status, each counted up to `MOST_COUNTED`, and when the oldest that waits was made."""

    hook_no: int
    waiting: int
    delivered: int
    given_up: int
    oldest_waiting: datetime | None


_LOG = f"""
SELECT {columns_of(Delivery)} FROM webhook_deliveries
WHERE hook_no = :no AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:before AS BIGINT) IS NULL OR delivery_no < :before)
ORDER BY delivery_no DESC LIMIT :limit
"""
_COUNTED = f"""(SELECT count(*) FROM (
    SELECT FROM webhook_deliveries d WHERE d.hook_no = h.hook_no AND d.status = '{{status}}' LIMIT {MOST_COUNTED}) AS found)"""
_COUNTS = f"""
SELECT hook_no, {", ".join(f"{_COUNTED.format(status=status)} AS {status}" for status in STATUSES)},
    (SELECT created_at FROM webhook_deliveries d WHERE d.hook_no = h.hook_no AND d.status = '{WAITING}'
     ORDER BY delivery_no LIMIT 1) AS oldest_waiting
FROM webhooks h
"""
_AGAIN = """
UPDATE webhook_deliveries SET status = 'waiting', attempts = 0, first_at = NULL, next_at = clock_timestamp()
WHERE hook_no = :no AND {which} RETURNING delivery_no
"""
_REMOVE_OLD = f"""
DELETE FROM webhook_deliveries WHERE delivery_no IN (
    SELECT delivery_no FROM webhook_deliveries
    WHERE status <> 'waiting' AND created_at < clock_timestamp() - INTERVAL '{KEPT_DAYS} days' LIMIT {_REMOVED_AT_ONCE}
)
"""


def log_of(
    connection: Connection, hook_no: int, *, status: str | None = None, before: int | None = None, limit: int = 100
) -> list[Delivery]:
    """Deliveries of a webhook, the newest first; `before` is the number of the delivery behind which it goes on."""
    wanted = {"no": hook_no, "status": status, "before": before, "limit": limit}
    return select_as(connection, Delivery, text(_LOG), wanted)


def counts(connection: Connection) -> dict[int, Counts]:
    """By the number of the webhook."""
    return {found.hook_no: found for found in select_as(connection, Counts, text(_COUNTS))}


def send_again(connection: Connection, hook_no: int, delivery_no: int, *, by: str) -> None:
    """Send a delivery (again), whatever its status. Raises NoSuchDelivery."""
    wanted = {"no": hook_no, "delivery": delivery_no}
    statement = text(_AGAIN.format(which="delivery_no = :delivery"))
    if connection.execute(statement, wanted).first() is None:
        raise NoSuchDelivery(
            f"webhook {hook_no} has no delivery {delivery_no}: what is done is kept for {KEPT_DAYS} days"
        )
    audit.note(connection, by, "webhooks.again", f"webhook {hook_no}", after={"delivery": delivery_no})


def send_given_up_again(connection: Connection, hook_no: int, *, by: str) -> int:
    """Send all that was given up once more; how many. Tests are left out."""
    statement = text(_AGAIN.format(which="status = 'given_up' AND topic IS NOT NULL"))
    found: Sequence[Any] = connection.execute(statement, {"no": hook_no}).all()
    if found:
        audit.note(connection, by, "webhooks.again", f"webhook {hook_no}", after={"deliveries": len(found)})
    return len(found)


def remove_old(connection: Connection) -> int:
    """Remove what has been done for long, a few thousand at most; how many."""
    return connection.execute(text(_REMOVE_OLD)).rowcount
