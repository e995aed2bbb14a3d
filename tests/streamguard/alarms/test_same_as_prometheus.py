"""The cases that promtool runs have the same alarms, labels and sentences without Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamguard.alarms.promql.functions import Labels, Vector
from streamguard.alarms.promql.parser import duration_s, parse
from streamguard.alarms.promql.tree import Selector
from streamguard.alarms.rules import read_rules
from streamguard.alarms.samples import GAP, Samples
from streamguard.alarms.states import States
from tests.support.project import PROJECT_ROOT

RULES = read_rules()
CASES = [
    pytest.param(duration_s(file["evaluation_interval"]), test, id=test["name"])
    for path in sorted((PROJECT_ROOT / "tests" / "ops").glob("*_test.yml"))
    for file in [yaml.safe_load(Path(path).read_text(encoding="utf-8"))]
    for test in file["tests"]
]


def values(notation: str) -> Iterator[float | None]:
    """The samples of promtool's notation: `1`, `_` for none, `0x10` for eleven of them, `0+5x10` and `9-1x3` for steps."""
    for item in notation.split():
        if found := re.fullmatch(r"(-?[\d.e]+)(?:([+-])([\d.e]+))?x(\d+)", item):
            step = float(f"{found[2]}{found[3]}") if found[2] else 0.0
            yield from (float(found[1]) + n * step for n in range(int(found[4]) + 1))
        elif found := re.fullmatch(r"_(?:x(\d+))?", item):
            yield from [None] * int(found[1] or 1)
        else:
            yield GAP if item == "stale" else float(item)


def series(test: dict[str, Any]) -> Iterator[tuple[str, Labels, list[float | None]]]:
    for one in test["input_series"]:
        selector = parse(one["series"])
        assert isinstance(selector, Selector)
        labels = tuple(sorted((matcher.label, matcher.value) for matcher in selector.matchers))
        yield selector.name, labels, list(values(str(one["values"])))


def test_every_rule_is_understood() -> None:
    groups = yaml.safe_load((PROJECT_ROOT / "ops/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    assert len(RULES.all) == sum(len(group["rules"]) for group in groups)


@pytest.mark.parametrize(("step_s", "test"), CASES)
def test_a_case_has_the_same_alarms(step_s: float, test: dict[str, Any]) -> None:
    samples, states = Samples(RULES.reach_s()), States()
    interval_s, wanted = duration_s(test["interval"]), test["alert_rule_test"][0]
    found_series = list(series(test))
    end_s, fed = duration_s(wanted["eval_time"]), 0
    for at_s in _steps(step_s, end_s):
        while fed * interval_s <= at_s:
            for name, labels, found in found_series:
                if fed < len(found) and (value := found[fed]) is not None and name in samples.reach_s:
                    samples.add(name, labels, fed * interval_s, value)
            fed += 1
        holds: dict[str, Vector] = RULES.evaluate(samples, at_s)
        states.update(RULES.alarms, holds, at_s)
    firing = [alarm for alarm in states.firing if alarm.name == wanted["alertname"]]
    key = lambda one: sorted(one["exp_labels"].items())  # noqa: E731
    shown = [
        {
            "exp_labels": {k: v for k, v in alarm.labels.items() if k != "alertname"},
            "exp_annotations": {"summary": alarm.summary},
        }
        for alarm in firing
    ]
    assert sorted(shown, key=key) == sorted(wanted["exp_alerts"], key=key)


def _steps(step_s: float, end_s: float) -> Iterator[float]:
    at_s = 0.0
    while at_s <= end_s:
        yield at_s
        at_s += step_s
