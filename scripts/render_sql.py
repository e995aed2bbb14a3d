"""Write ksqldb/*.sql from ksqldb/templates: `python scripts/render_sql.py`, or `--check` to see whether they are up to date.

ksqlDB has no views, and a variable of it stands for a literal or a name only: what all rules share, the columns of an
alert and the condition of a valid transaction, stands once in `templates/macros.sql`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from streamguard.config.settings import Settings
from streamguard.models.fields import MIN_TIME_MS
from streamguard.models.iso import COUNTRIES, CURRENCIES, NO_PLACES, THREE_PLACES

FOLDER = Path(__file__).parent.parent / "ksqldb"
MACROS = "macros.sql"

COMMISSION_CATEGORIES = {
    "betting": "0.05",
    "digital_goods": "0.049",
    "electronics": "0.015",
    "fuel": "0.008",
    "gambling": "0.05",
    "grocery": "0.012",
    "hotel": "0.025",
    "pharmacy": "0.012",
    "school_fees": "0.005",
    "travel": "0.025",
    "utilities": "0.005",
}
"""The rates that analytics.sql begins with."""


def rendered() -> dict[str, str]:
    """The text of each file by its name."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    templates.globals |= {
        "min_time_ms": MIN_TIME_MS,
        "max_ahead_ms": Settings.model_fields["max_ahead_s"].default * 1_000,
        "currencies": " ".join(sorted(CURRENCIES)),
        "no_places": " ".join(sorted(NO_PLACES)),
        "three_places": " ".join(sorted(THREE_PLACES)),
        "countries": " ".join(sorted(COUNTRIES)),
        "commission_categories": COMMISSION_CATEGORIES,
    }
    macros = templates.get_template(MACROS).module
    templates.globals |= {name: getattr(macros, name) for name in dir(macros) if not name.startswith("_")}
    names = [name for name in templates.list_templates() if name != MACROS]
    return {name: templates.get_template(name).render() for name in names}


def main() -> int:
    """Write what differs; with --check name it, and fail."""
    stale = [FOLDER / name for name, text in rendered().items() if not _is(FOLDER / name, text)]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"ksqldb/{path.name} is not what its template gives: run python scripts/render_sql.py")
        else:
            path.write_text(rendered()[path.name], encoding="utf-8")
            print(f"ksqldb/{path.name} written")
    return 1 if stale and "--check" in sys.argv[1:] else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
