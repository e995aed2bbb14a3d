"""The rules of ops/prometheus/alerts.yml, as Prometheus reads them: one file for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from streamguard.alarms.promql.evaluate import Evaluation
from streamguard.alarms.promql.functions import Vector
from streamguard.alarms.promql.parser import duration_s, parse
from streamguard.alarms.promql.tree import Expression, ExpressionError, selectors
from streamguard.alarms.samples import Samples
from streamguard.config import UserError
from streamguard.config.resources import DATA

RULES_FILE = DATA / "ops" / "prometheus" / "alerts.yml"
_MARGIN_S = 60.0


class BadRules(UserError):
    """The file of the rules cannot be used."""


@dataclass(frozen=True)
class Recording:
    """A series that is computed from others, for rules to look back on."""

    name: str
    expression: Expression


@dataclass(frozen=True)
class Alarm:
    """A condition that has to hold for a while: each set of labels for which it does is an alarm of its own."""

    name: str
    expression: Expression
    for_s: float
    labels: Mapping[str, str]
    summary: str


@dataclass(frozen=True)
class Rules:
    """All of them in their order: a rule may read what one before it has recorded."""

    all: Sequence[Recording | Alarm]

    @property
    def alarms(self) -> Sequence[Alarm]:
        """Those that raise alarms."""
        return [rule for rule in self.all if isinstance(rule, Alarm)]

    def reach_s(self) -> dict[str, float]:
        """The names that are read, and how far back, seconds."""
        found: dict[str, float] = {}
        for rule in self.all:
            for selector in selectors(rule.expression):
                found[selector.name] = max(found.get(selector.name, 0.0), selector.reach_s + _MARGIN_S)
        return found

    def evaluate(self, samples: Samples, at_s: float) -> dict[str, Vector]:
        """What holds at an instant, by alarm; recordings are added to the samples. Raises ExpressionError."""
        found: dict[str, Vector] = {}
        evaluation = Evaluation(samples, at_s)
        for rule in self.all:
            value = evaluation.vector(rule.expression)
            if isinstance(rule, Alarm):
                found[rule.name] = value
            else:
                samples.record(rule.name, value, at_s)
        return found


def read_rules(file: Path = RULES_FILE) -> Rules:
    """Raises BadRules, which names the rule."""
    try:
        groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BadRules(f"the rules of alarms {file} cannot be read: {error}") from None
    return Rules([_rule(file, rule) for group in groups for rule in group["rules"]])


_OF_RECORDINGS, _OF_ALARMS = {"record", "expr"}, {"alert", "expr", "for", "labels", "annotations"}


def _rule(file: Path, rule: Mapping[str, Any]) -> Recording | Alarm:
    name = rule.get("record") or rule.get("alert")
    try:
        if unknown := rule.keys() - (_OF_RECORDINGS if "record" in rule else _OF_ALARMS):
            raise ExpressionError(f"{', '.join(sorted(unknown))} is not understood here")
        expression = parse(rule["expr"])
        if "record" in rule:
            return Recording(str(name), expression)
        for_s = duration_s(rule["for"]) if "for" in rule else 0.0
        return Alarm(str(name), expression, for_s, rule.get("labels", {}), rule["annotations"]["summary"])
    except (ExpressionError, KeyError) as error:
        raise BadRules(f"{file}: the rule {name}: {error}") from None
