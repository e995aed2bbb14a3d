"""The columns of a transaction as expressions of SQL over the foreign stream, each with its guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamguard.ingest.topics import times
from streamguard.ingest.topics.answers import FIELDS, NUMBER_FIELDS, TEXT_FIELDS, Answers
from streamguard.ingest.topics.doubts import doubt_of
from streamguard.ingest.topics.envelopes import Envelope
from streamguard.ingest.topics.errors import OpenQuestion
from streamguard.ingest.topics.fields import Field, reference
from streamguard.ingest.topics.readers import read_as
from streamguard.ingest.topics.roles import candidates, role_of
from streamguard.models.iso import CURRENCIES

KEY = "record_key"
"""The column of the record's key, declared where the account is in it."""

_ASKED = {
    "account_id": "no account was found: --account FIELD names it{among}, --account key says that it is the record's key",
    "amount": "no amount was found: --map amount=FIELD names it{among}",
    "currency": "no currency was found: --currency EUR says which one all amounts are in",
    "event_time": "no time was found: --map event_time=FIELD names it{among}, --map event_time=ROWTIME takes the time at "
    "which the broker got the record",
}


@dataclass
class Columns:
    """Expression and comment of each field of a transaction; `open` is what only the owner can say."""

    topic: str
    root: Field
    envelope: Envelope
    answers: Answers
    keys: list[bytes | None]
    chosen: dict[str, tuple[str, str]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    key_is_used: bool = False

    def __post_init__(self) -> None:
        payment = self.root.at(self.envelope.path)
        self._leaves = list(payment.leaves()) if payment is not None else []
        for name in FIELDS:
            try:
                self._choose(name)
            except times.Unclear as unclear:
                self.open.append(f"{name}: {unclear}")
        if self.open:
            raise OpenQuestion(f"the topic {self.topic} leaves open: " + "; ".join(self.open))
        self._copy_the_key()

    def _copy_the_key(self) -> None:
        """The key may be in a SELECT once: a further column of it is a copy.

        A nested account takes its last name as that of the key: where a column has it too, an expression is told apart.
        """
        key, why = self.chosen.get("account_id", ("", ""))
        if "->" in key and key.rpartition("->")[2].strip("`").upper() in map(str.upper, self.root.members):
            key = f"CAST({key} AS VARCHAR)"
            self.chosen["account_id"] = (key, why)
        for name, (sql, guess) in self.chosen.items():
            if name != "account_id" and sql == key:
                self.chosen[name] = (f"AS_VALUE({sql})", guess)

    def _choose(self, name: str) -> None:
        given = self.answers.given.get(name)
        if given is not None and not self._given(name, given):
            self.chosen[name] = (given, "as told")
        elif given is None and not _FINDERS.get(name, _found_by_name)(self, name):
            if name in _ASKED:
                among = ", ".join(leaf.name for leaf in self._leaves[:12])
                self.open.append(_ASKED[name].format(among=f" (of {among})" if among else ""))
            else:
                self.chosen[name] = _ABSENT[name]

    def _given(self, name: str, given: str) -> bool:
        """Take a field that is named, or the key; False for an expression of SQL."""
        if name == "account_id" and given.lower() == "key":
            return self.take_key("the record's key, as told")
        if name == "currency" and given.upper() in CURRENCIES:
            self.chosen[name] = (f"'{given.upper()}'", "as told, for all")
            return True
        for leaf in self._leaves:
            if given in (leaf.name, ".".join(leaf.path[len(self.envelope.path) :])):
                if not self.take(name, leaf, "as told"):
                    shown = str(leaf.values[0])[:40]
                    raise times.Unclear(
                        f"{leaf.name} cannot be read as one, it has values such as {shown}: name another"
                    )
                return True
        return False

    def take(self, name: str, leaf: Field, why: str) -> bool:
        """Take a field for a column; False where its values do not fit."""
        sql = reference(self.root, leaf.path)
        how = read_as(name)(leaf, sql, self.answers)
        if how is None:
            return False
        if doubt := doubt_of(name, leaf, sql, self._leaves, len(self.keys), is_told=bool(why)):
            raise times.Unclear(doubt)
        sql, guess, leaf.declared = how
        rare = f", in {len(leaf.values)} of {len(self.keys)} records" if len(leaf.values) < len(self.keys) else ""
        self.chosen[name] = (sql, ", ".join(filter(None, [leaf.name, why, guess])) + rare)
        return True

    def take_key(self, why: str) -> bool:
        self.key_is_used = True
        self.chosen["account_id"] = (KEY, why)
        return True

    def leaves(self) -> list[Field]:
        return self._leaves


def _found_by_name(columns: Columns, name: str) -> bool:
    leaf = role_of(name, columns.leaves(), len(columns.envelope.path))
    return leaf is not None and columns.take(name, leaf, "")


def _found_by_reading(columns: Columns, name: str) -> bool:
    """The first of the likely fields whose values can be read; what is unclear about one counts if no other can."""
    unclear: times.Unclear | None = None
    for leaf in candidates(name, columns.leaves(), len(columns.envelope.path)):
        try:
            if columns.take(name, leaf, ""):
                return True
        except times.Unclear as error:
            unclear = unclear or error
    if unclear is not None:
        raise unclear
    return False


def _found_account(columns: Columns, name: str) -> bool:
    return _found_by_name(columns, name) or _key_repeats(columns)


def _key_repeats(columns: Columns) -> bool:
    """Take the key where it is text that comes again: a key that is new each time is no account."""
    texts = []
    for key in columns.keys:
        try:
            texts.append(key.decode("utf-8") if key else "")
        except UnicodeDecodeError:
            return False
    if not all(text.isprintable() and text and not text.startswith(("{", "[", '"')) for text in texts):
        return False
    if len(set(texts)) == len(texts):
        return False
    return columns.take_key("the record's key: no field looks like an account, and the keys repeat")


_FINDERS: Mapping[str, Callable[[Columns, str], bool]] = {
    "amount": _found_by_reading,
    "event_time": _found_by_reading,
    "account_id": _found_account,
}

_ABSENT = {
    # Partition and offset: the same again when the topic is read again.
    "transaction_id": (
        "CAST(ROWPARTITION AS VARCHAR) + '-' + CAST(ROWOFFSET AS VARCHAR)",
        "not found: made of the record's partition and offset",
    ),
    **dict.fromkeys(TEXT_FIELDS, ("CAST(NULL AS VARCHAR)", "not found")),
    **dict.fromkeys(NUMBER_FIELDS, ("CAST(NULL AS DOUBLE)", "not found")),
}
