"""What an import says: what the file was taken for and how it is read before, what became of its rows behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from streamguard.cli.import_options import HowToSend
from streamguard.cli.shared import print_line
from streamguard.ingest.feed import Feed
from streamguard.ingest.payments import PaymentReader
from streamguard.ingest.plan import Plan
from streamguard.producer.record import utc
from streamguard.producer.send import Tally, say

_PREVIEW = 5
_SHOWN_REASONS = 20


@dataclass
class Outcome:
    """Counts for the end."""

    tally: Tally = field(default_factory=Tally)
    acknowledged: int = 0
    stored: int | None = None
    why_not_known: str | None = None


def show_plan(source: Any, chosen: Plan, in_full: bool, speaker: str) -> None:
    """What the file is and how it is read; in full with the mapping and the first payments."""
    say(f"{source.name}: {chosen.title} ({', '.join(source.found)})", speaker)
    for note in (*chosen.notes, *chosen.reader.notes):
        say(f"  {note}", speaker)
    if not in_full:
        return
    payments, refused = chosen.preview(_PREVIEW)
    print_line("The mapping (--map changes a field, --save-layout keeps it):")
    for name, bound in chosen.reader.columns.items():
        if bound.shown:
            print_line(f"  {name:<18} = {bound.shown}")
    if "transaction_id" not in chosen.mapping.fields:
        print_line(f"  {'transaction_id':<18} = #   (made of what the row says)")
    if unused := [column for column in chosen.reader.unused if column]:
        print_line(f"  not used: {', '.join(unused)}")
    print_line("The first payments as they would be stored:")
    for fields in payments:
        print_line(f"  {_payment_line(fields)}")
    for reason in refused[:_PREVIEW]:
        print_line(f"  refused: {reason}")


def _payment_line(fields: dict[str, Any]) -> str:
    """Time, account and amount first, then what else is known."""
    others = {
        name: value for name, value in fields.items() if name not in ("account_id", "amount", "currency", "event_time")
    }
    amount: Decimal = fields["amount"]
    rest = "  ".join(f"{name}={value}" for name, value in others.items() if value is not None)
    return f"{utc(fields['event_time'])}  {fields['account_id']}  {amount:,f} {fields['currency']}  {rest}"


def summary(feed: Feed, outcome: Outcome, send: HowToSend, reader: PaymentReader) -> list[str]:
    """The lines printed at the end."""
    tally = outcome.tally
    sent = tally.transactions + sum(tally.other.values())
    done = "written" if send.to_file is not None else "acknowledged"
    confirmed = f"all {done}" if outcome.acknowledged == sent else f"{outcome.acknowledged:,} {done}"
    seconds = max(tally.seconds or tally.sending_s, 1e-6)
    lines = [
        f"{feed.rows_read:>12,} rows read",
        f"{sent:>12,} sent, {confirmed}, in {seconds:.1f} s ({sent / seconds:,.0f}/s)",
    ]
    if outcome.stored is not None:
        lines.append(f"{outcome.stored:>12,} stored")
    if reader.rounded:
        lines.append(f"{reader.rounded:>12,} of them with an amount rounded to its currency's decimals (--round)")
    lines.append(f"{feed.refusals.count:>12,} refused")
    sentences = list(feed.refusals.sentences())
    lines += [f"{'':>14}{sentence}" for sentence in sentences[:_SHOWN_REASONS]]
    if len(sentences) > _SHOWN_REASONS:
        lines.append(f"{'':>14}and {len(sentences) - _SHOWN_REASONS} more reasons")
    if feed.refusals.count and feed.refused_path is not None and feed.refused_path.exists():
        lines.append(
            f"{'':>14}they are in {feed.refused_path}, each with its reason: mend them there and import that file"
        )
    if tally.first_ms is not None:
        lines.append(f"event time {utc(tally.first_ms)} to {utc(tally.last_ms)}")
    for kind, count in [*tally.kinds.most_common(), *tally.other.most_common()]:
        name = "without a label" if kind == "ordinary" and "label" not in reader.columns else kind
        lines.append(f"  {name:<22}{count:>12,}{100 * count / max(1, tally.transactions):>9.2f} %")
    if outcome.why_not_known:
        lines.append(f"whether they are stored is not known: {outcome.why_not_known}")
    return lines
