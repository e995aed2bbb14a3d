"""Null in fields that are not nullable: the codec accepts it, so requests are checked before their handlers run."""

from __future__ import annotations

from typing import Any

_Plan = tuple[tuple[str, bool, Any, bool], ...]
_plans: dict[tuple[int, int], _Plan] = {}  # by the identity of a schema's struct, which lives as long as the process


def _plan(struct: Any, version: int) -> _Plan:
    key = (id(struct), version)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = _make_plan(struct, version)
    return plan


def _make_plan(struct: Any, version: int) -> _Plan:
    """For each field to check: name, nullable, the struct inside (None: plain), whether it is an array."""
    plan = []
    for field in struct.untagged_fields(version):
        kind = field.type_str
        nullable = field.nullable_for_version_q(version) or kind == "uuid"  # the codec reads the zero id as None
        if field.is_struct_array():
            plan.append((field.name, nullable, field.array_of, True))
        elif field.is_struct():
            plan.append((field.name, nullable, field, False))
        elif not nullable or field.is_array():
            plan.append((field.name, nullable, None, field.is_array()))
    return tuple(plan)


def find_null(message: Any, struct: Any, version: int) -> str | None:
    """The name of the first field that is null and not nullable, None if there is none."""
    for name, nullable, inner, is_array in _plan(struct, version):
        value = getattr(message, name)
        if value is None:
            if not nullable:
                return name
        elif inner is not None:
            for item in value if is_array else (value,):
                wrong = find_null(item, inner, version)
                if wrong is not None:
                    return f"{name}.{wrong}"
        elif is_array and None in value:
            return name
    return None
