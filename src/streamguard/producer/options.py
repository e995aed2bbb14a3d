"""The options that the commands share, and how their text is read; each refusal names the value and the choices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamguard.models import CURRENCIES
from streamguard.producer.defects import DEFECTS
from streamguard.producer.errors import InputError
from streamguard.producer.replay import parse_time
from streamguard.producer.scenarios import KINDS

Profile = Annotated[str, typer.Option(help="br, generic-card, ke-mpesa, psp, or a .yaml file of your own.")]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same records, to the byte.")]
Customers = Annotated[int | None, typer.Option(help="How many people pay; the profile's number by default.")]
MixOption = Annotated[
    list[str] | None, typer.Option("--mix", metavar="KIND=SHARE", help="Share of a kind of fraud; may be repeated.")
]
FraudShare = Annotated[float | None, typer.Option(help="Scale all fraud to this share of the transactions.")]
BeginWith = Annotated[
    list[str] | None, typer.Option("--begin-with", metavar="KIND", help="Begin one of these at once; may be repeated.")
]
Bad = Annotated[
    list[str] | None, typer.Option("--bad", metavar="KIND=RATE", help="Rate of a kind of bad record; may be repeated.")
]
Chargebacks = Annotated[bool, typer.Option("--chargebacks", help="Publish labels to fraud_labels after a delay.")]
ToFile = Annotated[Path | None, typer.Option(help="Write .jsonl or .csv (.gz) instead of sending; replay reads it.")]
Compression = Annotated[str, typer.Option(help="none, lz4, gzip, snappy or zstd.")]
Wait = Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for a broker that is not there yet.")]
Start = Annotated[str | None, typer.Option(help="First event time: 2026-01-05T12:00:00Z, or now.")]


def read_shares(option: str, texts: Sequence[str] | None) -> dict[str, float]:
    """`KIND=SHARE` texts (commas may join several) as a dict."""
    shares = {}
    for text in ",".join(texts or ()).split(","):
        if not text:
            continue
        name, _, number = text.partition("=")
        try:
            shares[name.strip()] = float(number)
        except ValueError:
            kinds = DEFECTS if option == "--bad" else KINDS
            raise InputError(f"{option} {text!r}: write KIND=NUMBER, KIND being one of {', '.join(kinds)}") from None
    return shares


def read_time(option: str, text: str | None, now_ms: int) -> int | None:
    """Epoch milliseconds of an ISO time or `now`; None stays None."""
    if text is None:
        return None
    if text == "now":
        return now_ms
    try:
        return parse_time(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}, nor now") from None


def read_speed(text: str) -> float | None:
    """A factor above 0, or None for `max`."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed < float("inf"):
        raise InputError(f"--speed is {text!r}: a number above 0 (1 is real time), or max")
    return speed


def above_zero(option: str, value: float | None) -> None:
    """Raises InputError for a number that is not above 0 (or is none at all, as nan)."""
    if value is not None and not 0 < value < float("inf"):
        raise InputError(f"{option} is {value:g}: a number above 0 is needed")


def known_currency(code: str) -> str:
    """The code in upper case; raises InputError if ISO 4217 does not know it."""
    if code.upper() not in CURRENCIES:
        raise InputError(f"--currency is {code!r}: an ISO 4217 code such as BRL, EUR or KES is needed")
    return code.upper()
