"""Which field of a transaction comes from where, written as `--map` and the layout files write it.

`mapping_of("amount=amt,account_id=cc_num,event_time=ts:iso@America/Sao_Paulo,currency='USD'")` reads one; `bind` in
`payments` makes a reader of a file's rows from it.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from difflib import get_close_matches

from streamguard.ingest.errors import InputError
from streamguard.ingest.expressions import Expression, Malformed, parse, parse_assignments
from streamguard.models import Transaction

FIELDS = tuple(Transaction.model_fields)
REQUIRED = tuple(name for name, info in Transaction.model_fields.items() if info.is_required())
MARKS = ("label", "lookalike", "incident", "defect")
"""What goes into headers of the record: whether it is fraud, and what the generator says of it."""
BESIDE = ("state", "commission_type", "commission")
"""What is sent along with a transaction and kept with its record, without a column of its own."""
TARGETS = (*FIELDS, *MARKS, *BESIDE)


@dataclass(frozen=True)
class Mapping:
    """An expression for each field that a row gives. `keeps_rest` sends what else a JSON row has along with it."""

    fields: MappingType[str, Expression] = field(default_factory=dict)
    keeps_rest: bool = False

    def __str__(self) -> str:
        return ",".join(f"{name}={expression}" for name, expression in self.fields.items())

    def changed_by(self, other: Mapping) -> Mapping:
        """This mapping with the fields of `other` in place of its own."""
        return Mapping({**self.fields, **other.fields}, self.keeps_rest)


def mapping_of(text: str) -> Mapping:
    """A mapping as `--map` has it; raises InputError naming the place, or the field with the nearest right name."""
    try:
        assignments = parse_assignments(text)
    except Malformed as error:
        raise InputError(f"--map: {error}") from None
    fields: dict[str, Expression] = {}
    for name, expression in assignments:
        if name in fields:
            raise InputError(f"--map gives {name} twice")
        fields[known_target(name, "--map")] = expression
    return Mapping(fields)


def mapping_from(fields: MappingType[str, str], where: str, keeps_rest: bool = False) -> Mapping:
    """A mapping as a layout file has it: `where` is named in an InputError."""
    found = {}
    for name, text in fields.items():
        try:
            found[known_target(name, where)] = parse(str(text))
        except Malformed as error:
            raise InputError(f"{where}: {name}: {error}") from None
    return Mapping(found, keeps_rest)


def known_target(name: str, where: str) -> str:
    """`name`, if a transaction has such a field; raises InputError with the nearest one."""
    if name in TARGETS:
        return name
    near = get_close_matches(name, TARGETS, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(TARGETS)}"
    raise InputError(f"{where}: a transaction has no field {name!r}: {hint}")
