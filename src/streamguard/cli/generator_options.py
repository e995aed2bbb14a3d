"""The options that the commands share, and how their text is read; each refusal names the value and the choices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamguard.models import CURRENCIES
from streamguard.models.fields import MAX_TIME_MS, MIN_TIME_MS
from streamguard.models.readings import parse_time
from streamguard.producer.defects import DEFECTS
from streamguard.producer.errors import InputError
from streamguard.producer.record import utc
from streamguard.producer.runs import Recipe
from streamguard.producer.scenarios import KINDS
from streamguard.producer.sinks import file_kind

LEAST = 0.000001
MOST = 1_000_000_000_000

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
    for text in [part for joined in texts or () for part in joined.split(",")]:
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
        time_ms = parse_time(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}, nor now") from None
    if not MIN_TIME_MS <= time_ms < MAX_TIME_MS:
        raise InputError(
            f"{option} is {text!r}: a time between {utc(MIN_TIME_MS)} and {utc(MAX_TIME_MS - 1)} is needed"
        )
    return time_ms


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
    above_zero("--speed", speed)
    return speed


def above_zero(option: str, value: float | None, at_most: float = MOST) -> None:
    """Raises InputError for a number that is not above 0 (or is none at all, as nan), or out of range."""
    if value is None:
        return
    if not 0 < value < float("inf"):
        raise InputError(f"{option} is {value:g}: a number above 0 is needed")
    if not LEAST <= value <= at_most:
        # A whole number may be larger than any float.
        shown, least = (f"{value:g}", LEAST) if isinstance(value, float) else (str(value), 1)
        raise InputError(f"{option} is {shown}: it must lie between {least:g} and {at_most:,.0f}")


def not_below_zero(option: str, value: float) -> None:
    """Raises InputError for a number below 0, or for nan."""
    if not value >= 0:
        raise InputError(f"{option} is {value:g}: 0 or a number above is needed")


def fits_into(path: Path, recipe: Recipe) -> None:
    """Raises InputError where the recipe makes records that a CSV has no columns for."""
    if file_kind(path) != "csv":
        return
    if recipe.chargebacks:
        raise InputError(f"{path} has no columns for chargebacks: write .jsonl, or leave out --chargebacks")
    if recipe.bad.get("malformed"):
        raise InputError(f"{path} has no columns for malformed values: write .jsonl, or leave malformed out of --bad")


def known_currency(code: str) -> str:
    """The code in upper case; raises InputError if ISO 4217 does not know it."""
    if code.upper() not in CURRENCIES:
        raise InputError(f"--currency is {code!r}: an ISO 4217 code such as BRL, EUR or KES is needed")
    return code.upper()
