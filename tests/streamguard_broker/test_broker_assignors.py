"""The assignors of the consumer protocol: who gets which partition."""

from __future__ import annotations

import uuid

import hypothesis
import pytest
from hypothesis import strategies as st

from streamguard_broker.groups.assignors import ASSIGNORS, Assignment, TopicInfo, assign_range, assign_uniform

NAMES = "abcd"
IDS = {name: uuid.UUID(int=index) for index, name in enumerate(NAMES, 1)}

TOPICS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9)).map(
    lambda counts: {name: TopicInfo(IDS[name], count) for name, count in counts.items()}
)
MEMBERS = st.dictionaries(st.sampled_from(["m1", "m2", "m3", "m4", "m5"]), st.frozensets(st.sampled_from(NAMES)))


def sizes(assignment: Assignment) -> list[int]:
    return sorted(len(partitions) for partitions in assignment.values())


@pytest.mark.parametrize("name", ASSIGNORS)
@hypothesis.given(members=MEMBERS, topics=TOPICS, before=MEMBERS)
@hypothesis.settings(deadline=None)
def test_every_partition_goes_to_one_of_its_subscribers(
    name: str, members: dict[str, frozenset[str]], topics: dict[str, TopicInfo], before: dict[str, frozenset[str]]
) -> None:
    old = ASSIGNORS[name](before, topics, {})
    new = ASSIGNORS[name](members, topics, old)
    assert set(new) == set(members)
    given = [(topic, index, m) for m, partitions in new.items() for topic, index in partitions]
    assert len({(topic, index) for topic, index, _ in given}) == len(given), "nothing twice"
    names = {topic.id: topic_name for topic_name, topic in topics.items()}
    assert all(names[topic] in members[m] for topic, _, m in given)
    wanted = {
        (t.id, p) for n, t in topics.items() if any(n in s for s in members.values()) for p in range(t.partitions)
    }
    assert {(topic, index) for topic, index, _ in given} == wanted


@hypothesis.given(members=st.integers(1, 6), topics=TOPICS, before=MEMBERS)
@hypothesis.settings(deadline=None)
def test_uniform_is_as_equal_as_can_be_where_all_subscribe_alike(
    members: int, topics: dict[str, TopicInfo], before: dict[str, frozenset[str]]
) -> None:
    alike = {f"m{index}": frozenset(NAMES) for index in range(members)}
    numbers = sizes(assign_uniform(alike, topics, assign_uniform(before, topics, {})))
    assert numbers[-1] - numbers[0] <= 1


@hypothesis.given(members=MEMBERS, topics=TOPICS)
@hypothesis.settings(deadline=None)
def test_uniform_moves_nothing_without_need(members: dict[str, frozenset[str]], topics: dict[str, TopicInfo]) -> None:
    once = assign_uniform(members, topics, {})
    assert assign_uniform(members, topics, once) == once


def test_uniform_moves_only_what_a_new_member_gets() -> None:
    topics = {"a": TopicInfo(IDS["a"], 6)}
    two = assign_uniform({m: frozenset("a") for m in ("m1", "m2")}, topics, {})
    three = assign_uniform({m: frozenset("a") for m in ("m1", "m2", "m3")}, topics, two)
    assert sizes(three) == [2, 2, 2]
    assert three["m1"] < two["m1"] and three["m2"] < two["m2"]


def test_uniform_spreads_a_large_topic() -> None:
    topics = {"a": TopicInfo(IDS["a"], 20_000)}
    one = assign_uniform({"m0": frozenset("a")}, topics, {})
    many = assign_uniform({f"m{index}": frozenset("a") for index in range(50)}, topics, one)
    assert sizes(many) == [400] * 50 and many["m0"] < one["m0"]


def test_range_gives_neighbouring_partitions_of_each_topic() -> None:
    topics = {"a": TopicInfo(IDS["a"], 5), "b": TopicInfo(IDS["b"], 1)}
    assigned = assign_range({"m1": frozenset("ab"), "m2": frozenset("ab")}, topics, {})
    assert assigned["m1"] == {(IDS["a"], 0), (IDS["a"], 1), (IDS["a"], 2), (IDS["b"], 0)}
    assert assigned["m2"] == {(IDS["a"], 3), (IDS["a"], 4)}
