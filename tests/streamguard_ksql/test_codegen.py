"""Generated functions: readable in a traceback, and forgotten with the query that they belong to."""

from __future__ import annotations

import gc
import linecache
import traceback
from dataclasses import replace
from typing import Any

import pytest

from streamguard_ksql.codegen import Code, Environment, Expression, applied, list_of
from streamguard_ksql.functions.registry import FUNCTIONS
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.run import input_record
from streamguard_ksql.types import STRING


def broken(value: Any) -> Any:
    raise LookupError(f"a fault with {value}")


def traceback_of(function: Any, *arguments: Any) -> str:
    with pytest.raises(LookupError) as caught:
        function(*arguments)
    return "".join(traceback.format_exception(caught.value))


def test_a_traceback_shows_the_generated_line_that_failed() -> None:
    env = Environment()
    project = env.function("project", "v", list_of(["v[0]", env.call(broken, "v[1]")]))
    text = traceback_of(project, ["a", "b"])
    assert ": project>" in text and "in project" in text
    assert "broken_0(v[1])," in text
    assert "LookupError: a fault with b" in text


def test_a_traceback_through_a_query_shows_its_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    ucase = FUNCTIONS["UCASE"]
    monkeypatch.setattr(ucase, "variants", [replace(v, body=broken) for v in ucase.variants])
    harness = Harness()
    harness.run_script(
        "CREATE STREAM s (id STRING KEY, a STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
        "CREATE STREAM o AS SELECT id, UCASE(a) AS b FROM s;"
    )
    harness.feed(input_record(harness, {"topic": "s", "key": "k", "value": {"a": "x"}}))
    text = traceback_of(harness.settle)
    assert "in project" in text and "broken_0(v[0])" in text


def test_the_source_is_forgotten_with_the_function() -> None:
    function = Environment().function("transient", "v", "v")
    path = function.__code__.co_filename
    assert linecache.getline(path, 1) == "def transient(v):\n"
    linecache.checkcache()
    assert linecache.getline(path, 2) == "    return v\n"
    del function
    gc.collect()
    assert linecache.getline(path, 1) == ""


def test_the_same_object_has_one_name() -> None:
    env = Environment()
    assert env.call(broken, "1") == env.call(broken, "1")
    assert env.call(lambda: 0).startswith("f")


def test_guarded_operands_are_evaluated_once() -> None:
    env, calls = Environment(), []

    def noted(value: Any) -> Any:
        calls.append(value)
        return value

    operand = Code(env.call(noted, "v"), STRING)
    length = env.function("length", "v", env.guarded([operand], lambda x: f"len({x})"))
    assert (length("abc"), length(None)) == (3, None)
    assert calls == ["abc", None]


def test_an_expression_is_a_function_and_a_text() -> None:
    add = Expression("{state} + {value} if {value} else {state}", "state", "value")
    assert (add(1, 2), add(1, None)) == (3, 1)
    assert add.text(Environment(), "s", "a") == "(s + a if a else s)"
    env = Environment()
    assert applied(env, add, "s", "a") == "(s + a if a else s)"
    assert applied(env, max, "s", "a") == "max_0(s, a)"
