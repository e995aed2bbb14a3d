"""What status says of alarms: which fire, and whether they arrive."""

from __future__ import annotations

import time
from pathlib import Path

from streamguard.alarms import store
from streamguard.alarms.notify import Told
from streamguard.alarms.states import Active, States
from streamguard.alarms.store import Kept
from streamguard.config import load_settings
from streamguard.stack.health import Context, Finding, alarms


def found(context: Context) -> list[Finding]:
    return [finding for check in (alarms.firing, alarms.not_sent) for finding in check(context)]


def test_an_alarm_that_fires_is_a_note_and_one_that_does_not_arrive_a_problem(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)
    context, now_s = Context(settings), time.time()
    assert found(context) == []
    fires = Active("ConsumerLag", {"alertname": "ConsumerLag"}, "g is behind", 1.0, now_s, now_s)
    pending = Active("KafkaDown", {"alertname": "KafkaDown"}, "Kafka does not answer", 0.0, now_s)
    told = {"webhook": Told(failures=3, error="h answers 503"), "command": Told(failures=1)}
    store.write(settings, Kept(now_s, States([fires, pending]), told))
    [note, problem] = found(context)
    assert (note.serious, note.sentence.startswith("the alarm ConsumerLag fires: g is behind")) == (False, True)
    assert (problem.serious, "webhook (h answers 503)" in problem.sentence) == (True, True)
    store.write(settings, Kept(now_s - alarms.OLD_S, States([fires]), told))
    assert found(context) == [], "nobody has looked since"
