"""The short way for a record that fits `Transaction` as it is, nearly all of them: decoded and checked by msgspec in C.

Whatever is unusual goes the long way (`models.records`), which alone decides what is bad and why: a name that is none of
ours, or in another letter case, an amount with more than two decimal places, a currency with fewer, a long identifier. Both ways
give the same.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta
from pydantic import BaseModel

from streamguard.models.fields import (
    MAX_AMOUNT,
    MAX_ID_LENGTH,
    MAX_TIME_MS,
    MIN_TIME_MS,
    Amount,
    Country,
    Currency,
    EventTime,
    Identifier,
    Latitude,
    Longitude,
    Text,
)
from streamguard.models.iso import COUNTRIES, CURRENCIES, places

Model = TypeVar("Model", bound=BaseModel)

_KINDS: list[tuple[Any, Any]] = [
    (Identifier, Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH // 2)]),
    (Text, str),
    (Currency, str),
    (Country, str),
    (Amount, Annotated[float, Meta(gt=0, lt=float(MAX_AMOUNT))]),
    (Latitude, Annotated[float, Meta(ge=-90, le=90)]),
    (Longitude, Annotated[float, Meta(ge=-180, le=180)]),
    (EventTime, Annotated[int, Meta(ge=MIN_TIME_MS, lt=MAX_TIME_MS)]),
]
"""What msgspec checks of each kind of field. An identifier of at most half the length is short enough in UTF-16 too."""

_WITH_CENTS = frozenset(code for code in CURRENCIES if places(code) >= 2)
_SOME_COUNTRY = COUNTRIES | {None}


def quick_reader(model: type[Model]) -> Callable[[bytes | None, bytes | None], Model | None]:
    """What reads value and key of a record as the model; the model is None where that takes the long way."""
    decode = msgspec.json.Decoder(_struct_of(model)).decode
    as_dict, new, put = msgspec.structs.asdict, object.__new__, object.__setattr__
    names = set(model.model_fields)

    def read(value: bytes | None, key: bytes | None) -> Model | None:
        # NUL is an escape in JSON.
        if value is None or key is None or b"\\u0000" in value:
            return None
        try:
            fields = as_dict(decode(value))
            account = key.decode()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        # With a point and one place at least; where an exponent is, there is no point before the last two.
        digits = repr(fields["amount"])
        cents = digits[-3:].find(".")
        if fields["account_id"] != account or cents < 0 or fields["currency"] not in _WITH_CENTS:
            return None
        if fields["country"] not in _SOME_COUNTRY:
            return None
        fields["amount"] = Decimal(digits + "0" if cents else digits)
        made = new(model)
        put(made, "__dict__", fields)
        put(made, "__pydantic_fields_set__", names)
        put(made, "__pydantic_extra__", None)
        put(made, "__pydantic_private__", None)
        return made

    return read


def _struct_of(model: type[BaseModel]) -> Any:
    """The fields of a model as a struct; StopIteration for a kind of field that is not in `_KINDS`."""
    fields: list[Any] = []
    for name, hint in get_type_hints(model, include_extras=True).items():
        if name not in model.model_fields:
            continue
        inner = next((part for part in get_args(hint) if part is not NoneType), hint)
        is_optional = NoneType in get_args(hint)
        kind = next(checked for known, checked in _KINDS if known is (inner if is_optional else hint))
        fields.append((name, kind | None, None) if is_optional else (name, kind))
    return msgspec.defstruct(f"Quick{model.__name__}", fields, forbid_unknown_fields=True, kw_only=True, gc=False)
