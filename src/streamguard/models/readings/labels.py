"""Whether a payment was fraud, as people write it."""

from __future__ import annotations

from typing import Any

FRAUD = "fraud"
ORDINARY = ""
"""What the header `label` of a record says of one that is no fraud, or of which nothing is known."""

_MEANINGS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "fraud", "fraudulent", "anomaly", "fraudster"), FRAUD),
    **dict.fromkeys(
        ("", "0", "false", "f", "no", "n", "legit", "legitimate", "genuine", "normal", "ok", "not fraud", "non-fraud"),
        ORDINARY,
    ),
}


def read_label(value: Any) -> str:
    """`FRAUD` or `ORDINARY`; an empty value is `ORDINARY`. Raises ValueError for what is neither yes nor no."""
    if value is None:
        return ORDINARY
    text = str(value).strip().lower()
    meaning = _MEANINGS.get(text)
    if meaning is None:
        head, dot, places = text.partition(".")
        if dot and not places.strip("0"):
            meaning = _MEANINGS.get(head) if head in ("0", "1") else None
    if meaning is None:
        raise ValueError(f"label {value!r} is neither yes nor no: 1, true, yes, fraud or 0, false, no, legitimate")
    return meaning
