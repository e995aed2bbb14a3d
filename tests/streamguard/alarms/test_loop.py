"""From the pages of processes to a receiver: when an alarm fires, what is told, and what happens where somebody is down."""

from __future__ import annotations

import json
from pathlib import Path

from streamguard.alarms import store
from streamguard.alarms.loop import SETTLES_S
from streamguard.alarms.notify import BETWEEN_S, FIRST_WAIT_S, LONGEST_WAIT_S, Told
from streamguard.alarms.promql.evaluate import Evaluation
from streamguard.alarms.promql.parser import parse
from streamguard.alarms.states import Active
from streamguard.stack.down import wipe
from tests.streamguard.alarms.conftest import T0_S, Alarms, Process, bodies, told
from tests.support.receiver import Receiver

FIRING, RESOLVED = ("ConsumerLag", "firing"), ("ConsumerLag", "resolved")


def test_an_alarm_fires_after_its_time_is_told_once_and_ends(
    alarms: Alarms, process: Process, receiver: Receiver
) -> None:
    process.lag(10)
    alarms.look(60)
    assert alarms.states == []
    process.lag(1_500)
    alarms.look(60)
    assert alarms.states == [("ConsumerLag", "pending")] and not receiver.got
    alarms.look(15)
    assert alarms.states == [FIRING]
    alarms.look(300)
    assert told(receiver) == [[FIRING]]
    [body] = bodies(receiver)
    assert (body["version"], body["status"], body["truncatedAlerts"]) == ("4", "firing", 0)
    [alert] = body["alerts"]
    assert alert["annotations"] == {"summary": "g is 1500 records behind in transactions"}
    assert alert["labels"] == {
        "alertname": "ConsumerLag",
        "severity": "critical",
        "consumergroup": "g",
        "topic": "transactions",
    }
    process.lag(0)
    alarms.look(60)
    assert told(receiver) == [[FIRING], [RESOLVED]] and alarms.states == []
    assert bodies(receiver)[1]["alerts"][0]["endsAt"] > alert["startsAt"]


def test_an_alarm_that_goes_on_is_told_again_after_hours(alarms: Alarms, process: Process, receiver: Receiver) -> None:
    process.lag(1_500)
    alarms.look(120, every_s=60)
    alarms.look(4 * 3_600 - 300, every_s=300)
    assert told(receiver) == [[FIRING]]
    alarms.look(300, every_s=300)
    assert told(receiver) == [[FIRING], [FIRING]]


def test_a_restart_forgets_nothing_and_tells_nothing_twice(
    alarms: Alarms, process: Process, receiver: Receiver
) -> None:
    process.lag(1_500)
    alarms.look(45)
    alarms.start()
    alarms.look(30)
    assert alarms.states == [FIRING], "the time before the restart counts"
    alarms.loop.save()
    alarms.start()
    assert alarms.states == [FIRING]
    alarms.look(300)
    assert told(receiver) == [[FIRING]]
    samples = store.folder_of(alarms.settings) / "samples.json"
    assert "kafka_consumergroup_lag_sum" in samples.read_text()


def test_a_wipe_forgets_the_alarms_of_the_data_and_receivers_hear_of_their_end(
    alarms: Alarms, process: Process, receiver: Receiver
) -> None:
    process.lag(1_500)
    alarms.look(90)
    alarms.loop.save()
    wipe(alarms.settings, lambda _: None)
    process.lag(0)
    alarms.start()
    assert alarms.states == []
    assert "kafka_consumergroup_lag_sum" not in (store.folder_of(alarms.settings) / "samples.json").read_text()
    alarms.look(90)
    assert told(receiver) == [[FIRING], [RESOLVED]]


def test_a_kept_state_that_is_nonsense_begins_anew(alarms: Alarms, process: Process) -> None:
    process.lag(1_500)
    alarms.look(90)
    alarms.loop.save()
    for name in ("state.json", "samples.json"):
        for nonsense in ("{", "[]", '{"alarms": [1], "told": {}, "series": [[1]], "at_s": 0}'):
            (store.folder_of(alarms.settings) / name).write_text(nonsense)
            alarms.start()
            alarms.look(15)
    assert alarms.states == [("ConsumerLag", "pending")]


def test_rates_that_are_not_known_yet_end_nothing_after_a_start(alarms: Alarms, process: Process) -> None:
    process.lag(1_500)
    alarms.look(90)
    process.lag(0)
    alarms.start()
    alarms.look(SETTLES_S - 15)
    assert alarms.states == [FIRING]
    alarms.look(30)
    assert alarms.states == []


def test_a_receiver_that_is_down_is_tried_less_often_and_gets_one_message(
    alarms: Alarms, process: Process, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 503
    process.lag(1_500)
    alarms.look(75)
    for topic in range(3):
        process.lag(2_000, f"t{topic}")
    alarms.look(2 * 3_600, every_s=60)
    tried = len(receiver.got)
    assert 8 < tried < 20
    assert alarms.loop.kept.told["webhook"].error.endswith("answers 503 Service Unavailable")
    receiver.answer = lambda _: 204
    alarms.look(LONGEST_WAIT_S)
    assert told(receiver)[tried:] == [[FIRING] * 4]


def test_an_alarm_that_ends_before_it_could_be_told_is_not(
    alarms: Alarms, process: Process, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 500
    process.lag(1_500)
    alarms.look(90)
    process.lag(0)
    alarms.look(15)
    receiver.answer = lambda _: 204
    before = len(receiver.got)
    alarms.look(3_600, every_s=60)
    assert len(receiver.got) == before


def test_many_alarms_are_one_message(alarms: Alarms, process: Process, receiver: Receiver) -> None:
    for topic in range(300):
        process.lag(5_000, f"t{topic}")
    alarms.look(150)
    [body] = bodies(receiver)
    assert (len(body["alerts"]), body["truncatedAlerts"]) == (100, 200)


def test_what_fires_shortly_after_another_waits_for_the_next_message() -> None:
    one, other = (Active(name, {"alertname": name}, "", 1.0, T0_S, T0_S) for name in ("A", "B"))
    receiver = Told()
    message = receiver.due([one], T0_S, 3_600)
    assert message is not None
    receiver.sent(message)
    assert receiver.due([one, other], T0_S + BETWEEN_S - 1, 3_600) is None
    message = receiver.due([other], T0_S + BETWEEN_S, 3_600)
    assert message is not None and (list(message.firing), list(message.resolved)) == ([other], [one])
    assert Told.load(json.loads(json.dumps(receiver.dump()))) == receiver
    waits = []
    for _ in range(9):
        receiver.failed("down", T0_S)
        waits.append(receiver.next_s - T0_S)
    assert waits[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S] and waits[-1] == LONGEST_WAIT_S


def test_a_process_that_ends_without_a_word_is_down(alarms: Alarms, process: Process, receiver: Receiver) -> None:
    process.lag(10)
    alarms.look(30)
    file = next((alarms.settings.state_path / "metrics").glob("*.json"))
    address = file.read_text()
    process.page.close()
    file.write_text(address)
    alarms.look(60)
    assert ("ProcessDown", "firing") in alarms.states
    assert bodies(receiver)[0]["alerts"][0]["annotations"] == {"summary": "monitor does not answer"}
    file.unlink()
    alarms.look(90)
    assert alarms.states == [], "one that was stopped has taken its file away"


def test_somebody_elses_page_is_left_out(alarms: Alarms, process: Process, receiver: Receiver, tmp_path: Path) -> None:
    address = receiver.url.split("/")[2]
    (tmp_path / "metrics" / "other.json").write_text(json.dumps([{"targets": [address], "labels": {"part": "x"}}]))
    (tmp_path / "metrics" / "broken.json").write_text("[{")
    process.lag(1_500)
    alarms.look(90)
    assert sorted(alarms.states) == [FIRING, ("ProcessDown", "firing")]


def test_older_samples_are_less_dense_and_have_an_end(alarms: Alarms, process: Process) -> None:
    """What the longest rule looks back on stays, in little room."""
    samples = alarms.loop._samples
    name = "streamguard_disk_free_bytes"
    for n in range(3 * 24 * 240):
        samples.add(name, (), T0_S + 15 * n, 1e12 - 1e6 * n)
    end_s = T0_S + 15 * (3 * 24 * 240 - 1)
    [(_, window)] = samples.windows(parse(name), end_s - 6 * 3_600, end_s)  # type: ignore[arg-type]
    assert 6 * 60 < len(window.samples) < 6 * 60 + 80
    slope = Evaluation(samples, end_s).vector(parse(f"predict_linear({name}[6h], 3600)"))[()]
    assert abs(slope - (1e12 - 1e6 * (end_s - T0_S + 3_600) / 15)) < 1e6
    assert len(next(iter(samples._series[name].values())).times) < 7 * 60 + 200
