"""The loop: read the pages, evaluate the rules, tell the receivers; every few seconds, in a thread of the monitor."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Sequence

from streamguard.alarms import store
from streamguard.alarms.notify import Told
from streamguard.alarms.promql.tree import ExpressionError
from streamguard.alarms.receivers import NotSent, Receiver, receivers_of
from streamguard.alarms.rules import Recording, Rules, read_rules
from streamguard.alarms.samples import Samples
from streamguard.alarms.scrape import scraped
from streamguard.config import Settings, UserError

log = logging.getLogger("streamguard.alarms")

EVERY_S = 15.0
SETTLES_S = 120.0
"""After a start an alarm that fired before goes on for so long: rates need a few samples."""
SAMPLES_EVERY_S = 600.0


class Loop:
    """One look after the other, at the times that `clock_s` gives (epoch seconds)."""

    def __init__(
        self, settings: Settings, rules: Rules, receivers: Sequence[Receiver], clock_s: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._rules, self._receivers, self._clock_s = settings, rules, receivers, clock_s
        self._samples = Samples(rules.reach_s())
        recorded = {rule.name for rule in rules.all if isinstance(rule, Recording)}
        self._scraped = self._samples.reach_s.keys() - recorded
        self.kept = store.read(settings)
        store.read_samples(settings, self._samples)
        self._settled_s = clock_s() + SETTLES_S
        self._saved_s = clock_s()

    def look(self) -> None:
        """One round. Errors of receivers and of processes that do not answer are part of it, not errors of this."""
        at_s = self._clock_s()
        for name, found in scraped(self._settings.state_path / "metrics", self._scraped).items():
            self._samples.record(name, found, at_s)
        try:
            holds = self._rules.evaluate(self._samples, at_s)
        except ExpressionError as error:
            log.error("the rules of alarms cannot be evaluated: %s", error)
            return
        self.kept.at_s = at_s
        self.kept.states.update(self._rules.alarms, holds, at_s, keep_firing=at_s < self._settled_s)
        for receiver in self._receivers:
            self._tell(receiver, at_s)
        store.write(self._settings, self.kept)
        if at_s - self._saved_s >= SAMPLES_EVERY_S:
            self.save()

    def save(self) -> None:
        """Keep the samples."""
        self._saved_s = self._clock_s()
        self._samples.forget_old(self._saved_s)
        store.write_samples(self._settings, self._samples)

    def _tell(self, receiver: Receiver, at_s: float) -> None:
        told = self.kept.told.setdefault(receiver.name, Told())
        message = told.due(self.kept.states.firing, at_s, self._settings.alarms_repeat_hours * 3_600)
        if message is None:
            return
        try:
            receiver.send(message)
        except NotSent as error:
            told.failed(str(error), at_s)
            log.warning("%s: alarms are not sent: %s; again in %.0f s", receiver.name, error, told.next_s - at_s)
        else:
            told.sent(message)
            log.info("%s: %s", receiver.name, message.subject)


def run(settings: Settings, stop: threading.Event) -> None:
    """Look until `stop` is set; does nothing where another process looks already, or no process says where its page is."""
    if not settings.state_path.is_dir():
        log.info("alarms are not evaluated here: there is no folder %s with addresses of pages", settings.state_path)
        return
    try:
        rules = read_rules()
    except UserError as error:
        log.error("%s", error)
        return
    folder = store.folder_of(settings)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _look_on(Loop(settings, rules, receivers_of(settings)), stop)
    except OSError as error:
        log.warning("alarms are not evaluated here: %s is in use or cannot be written (%s)", folder, error.strerror)


def _look_on(loop: Loop, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            loop.look()
        except Exception:
            log.exception("alarms could not be evaluated")
        stop.wait(EVERY_S)
    loop.save()
