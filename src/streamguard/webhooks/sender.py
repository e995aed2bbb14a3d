"""Takes what is due and posts it: each webhook on a thread of its own, so that one that hangs holds up no other.

A delivery is taken by moving its `next_at` on, in a database transaction of its own; no connection is held while the receiver
answers. A sender that dies leaves it to be taken again when that time has come: sent at least once.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from sqlalchemy import Connection, Engine, text

from streamguard.database import error_message, is_outage
from streamguard.database.rows import select_as
from streamguard.models import Decision
from streamguard.users import audit
from streamguard.webhooks.deliveries import DELIVERED
from streamguard.webhooks.post import GONE, TIMEOUT_S, Message, Result, post, session_for
from streamguard.webhooks.schedule import SCHEDULE, Schedule

log = logging.getLogger("streamguard.webhooks")

TAKEN_S = 60
"""How long a delivery belongs to whoever took it: longer than an attempt takes."""
ITSELF = "webhooks"
"""Who switches a webhook off that is gone, in the audit log."""

_DUE = """
SELECT hook_no FROM webhooks h WHERE is_on AND (held_until IS NULL OR held_until <= clock_timestamp()) AND EXISTS (
    SELECT FROM webhook_deliveries d
    WHERE d.hook_no = h.hook_no AND d.status = 'waiting' AND d.next_at <= clock_timestamp())
ORDER BY hook_no
"""
_TAKEN = f"""
attempts = attempts + 1, last_at = clock_timestamp(), first_at = coalesce(first_at, clock_timestamp()),
    next_at = clock_timestamp() + INTERVAL '{TAKEN_S} seconds'
"""
_MESSAGE = """
d.delivery_no, d.hook_no, d.message_id, d.topic, d.payload, d.attempts, h.url, h.secret, h.secret_before, h.rotated_at,
    h.failures
"""
_TAKE = f"""
UPDATE webhook_deliveries d SET {_TAKEN} FROM webhooks h
WHERE h.hook_no = d.hook_no AND d.delivery_no = (
    SELECT w.delivery_no FROM webhook_deliveries w JOIN webhooks k USING (hook_no)
    WHERE w.hook_no = :no AND w.status = 'waiting' AND w.next_at <= clock_timestamp()
        AND k.is_on AND (k.held_until IS NULL OR k.held_until <= clock_timestamp())
    ORDER BY w.delivery_no LIMIT 1 FOR UPDATE OF w SKIP LOCKED)
RETURNING {_MESSAGE}
"""
_TEST = f"""
WITH made AS (
    INSERT INTO webhook_deliveries (hook_no, payload, attempts, first_at, last_at, next_at)
    VALUES (:no, :payload, 1, clock_timestamp(), clock_timestamp(), clock_timestamp() + INTERVAL '{TAKEN_S} seconds')
    RETURNING *)
SELECT {_MESSAGE} FROM made d JOIN webhooks h USING (hook_no)
"""
_DONE = """
UPDATE webhook_deliveries SET last_ms = :ms, last_status = :code, last_error = :error, status = CASE
        WHEN :delivered THEN 'delivered'
        WHEN topic IS NULL OR first_at <= clock_timestamp() - CAST(:give_up AS INTERVAL) THEN 'given_up' ELSE 'waiting' END,
    next_at = clock_timestamp() + make_interval(secs => :wait_s)
WHERE delivery_no = :delivery AND status = 'waiting' RETURNING status
"""
_SOUND = """
UPDATE webhooks SET failures = 0, failing_since = NULL, held_until = NULL, last_error = NULL
WHERE hook_no = :no AND (failures > 0 OR last_error IS NOT NULL)
"""
_FAILED = """
UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()), last_error = :error,
    held_until = clock_timestamp() + make_interval(secs => :hold_s)
WHERE hook_no = :no
"""
# What was never tried because everything failed for as long is not kept waiting for ever.
_GIVE_UP_OLD = """
UPDATE webhook_deliveries d SET status = 'given_up', last_error = coalesce(d.last_error, 'not tried: ' || :error)
FROM webhooks h WHERE h.hook_no = d.hook_no AND h.hook_no = :no AND d.status = 'waiting'
    AND h.failing_since <= clock_timestamp() - CAST(:give_up AS INTERVAL)
    AND d.created_at <= clock_timestamp() - CAST(:give_up AS INTERVAL)
"""
_GONE = "UPDATE webhooks SET is_on = FALSE, off_reason = :reason WHERE hook_no = :no AND is_on"


class Sender:
    """Posts what is due. `send_due` starts threads and returns; `send_test` waits for the answer."""

    def __init__(
        self,
        engine: Engine,
        closing: threading.Event,
        *,
        schedule: Schedule = SCHEDULE,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._engine = engine
        self._closing = closing
        self._schedule = schedule
        self._timeout_s = timeout_s
        self._busy: dict[int, threading.Thread] = {}

    def send_due(self) -> None:
        """Start a thread for each webhook that has something due and none yet. Raises errors of the database."""
        with self._engine.begin() as connection:
            due = [int(row.hook_no) for row in connection.execute(text(_DUE))]
        self._busy = {number: thread for number, thread in self._busy.items() if thread.is_alive()}
        for number in due:
            if number not in self._busy:
                self._busy[number] = threading.Thread(
                    target=self._drain, args=(number,), name=f"webhook {number}", daemon=True
                )
                self._busy[number].start()

    def wait(self, timeout_s: float) -> None:
        """Wait for the attempts that run, so long each."""
        for thread in self._busy.values():
            thread.join(timeout_s)

    def send_test(self, hook_no: int, by: str) -> Result:
        """Post a decision that is none, once; also to a webhook that is off. Raises errors of the database."""
        sample = Decision(
            alert_id="TEST",
            tx_count=1,
            rule="TEST",
            account_id="TEST",
            transaction_id=None,
            outcome="review",
            score=0,
            reason="a test of the webhook: there is no such alert",
            verdicts=[],
            decided_by=f"analyst:{by}",
            decided_at=0,
        )
        with self._engine.begin() as connection:
            [message] = select_as(connection, Message, text(_TEST), {"no": hook_no, "payload": sample.to_json()})
            audit.note(connection, by, "webhooks.test", f"webhook {hook_no}")
        with session_for(message.url) as session:
            return self._attempt(session, message)

    def _drain(self, number: int) -> None:
        """Post what is due for one webhook, one after the other, in the order of the topic."""
        try:
            message = self._take(number)
            while message is not None and not self._closing.is_set():
                url = message.url
                with session_for(url) as session:
                    while message is not None and message.url == url and not self._closing.is_set():
                        self._attempt(session, message)
                        message = self._take(number)
        except Exception as error:
            if not is_outage(error):
                log.exception("sending to webhook %d failed", number)
            else:
                log.warning("Postgres is unavailable (%s): webhook %d waits", error_message(error), number)

    def _take(self, number: int) -> Message | None:
        if self._closing.is_set():
            return None
        with self._engine.begin() as connection:
            found = select_as(connection, Message, text(_TAKE), {"no": number})
        return found[0] if found else None

    def _attempt(self, session: Any, message: Message) -> Result:
        result = post(session, message, self._timeout_s)
        with self._engine.begin() as connection:
            self._keep(connection, message, result)
        return result

    def _keep(self, connection: Connection, message: Message, result: Result) -> None:
        """Write down how an attempt ended: at the delivery, and at its webhook."""
        give_up = {"give_up": self._schedule.give_up}
        values = {
            **give_up,
            "delivery": message.delivery_no,
            "delivered": not result.error,
            "code": result.status,
            "error": result.error or None,
            "ms": result.took_ms,
            "wait_s": self._schedule.wait_s(message.attempts),
        }
        status = connection.execute(text(_DONE), values).scalar()
        place = {"no": message.hook_no}
        if status is None:  # removed meanwhile, or another desk was faster
            return
        if status == DELIVERED:
            connection.execute(text(_SOUND), place)
            return
        log.warning("webhook %d, delivery %d: %s", message.hook_no, message.delivery_no, result.error)
        if result.status == GONE:
            self._switch_off(connection, message)
        if message.topic is None:  # a test that fails says so to whoever asked for it
            return
        hold_s = self._schedule.hold_s(message.failures + 1)
        connection.execute(text(_FAILED), {**place, "error": result.error, "hold_s": hold_s})
        connection.execute(text(_GIVE_UP_OLD), {**place, **give_up, "error": result.error})

    def _switch_off(self, connection: Connection, message: Message) -> None:
        reason = "the receiver answered 410 Gone: it does not want decisions any more"
        if connection.execute(text(_GONE), {"no": message.hook_no, "reason": reason}).rowcount:
            audit.note(connection, ITSELF, "webhooks.pause", f"webhook {message.hook_no}", reason=reason)
