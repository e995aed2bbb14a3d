"""Known layouts: a YAML file each, in `data/layouts` or where `--layout` points.

title, source      what it is and where it is described
columns            lists of columns; a file with all of one list has this layout
map                the mapping, a field a line, as `--map` has it
notes              what a person should know, such as the day that hours count from
keeps_rest         whether what else a JSON object holds is sent along
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streamguard.config.resources import DATA
from streamguard.ingest.errors import InputError
from streamguard.ingest.mapping import Mapping, mapping_from
from streamguard.ingest.rows import Rows

_FOLDER = DATA / "layouts"
_KEYS = {"title", "source", "columns", "map", "notes", "keeps_rest"}


@dataclass(frozen=True)
class Layout:
    """A layout and its mapping."""

    name: str
    title: str
    mapping: Mapping
    columns: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    source: str = field(default="", compare=False)

    def fits(self, rows: Rows) -> int:
        """How many columns prove that the rows have this layout; 0 where they have not."""
        there = {column.strip().lower() for column in rows.columns}
        return max((len(one) for one in self.columns if all(name.lower() in there for name in one)), default=0)


@cache
def known_layouts() -> tuple[Layout, ...]:
    """Those that ship with the package, by name."""
    return tuple(read_layout(path) for path in sorted(_FOLDER.glob("*.yaml")))


def recognised(rows: Rows) -> Layout | None:
    """The known layout that most columns speak for, None if there is none."""
    found = [(layout.fits(rows), layout) for layout in known_layouts()]
    most = max(count for count, _ in found)
    return next(layout for count, layout in found if count == most) if most else None


def layout_of(name: str) -> Layout:
    """A known layout by its name, or a file; raises InputError with the nearest name."""
    for layout in known_layouts():
        if layout.name == name:
            return layout
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return read_layout(path)
    names = [layout.name for layout in known_layouts()]
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}, and any .yaml file"
    raise InputError(f"--layout: no layout {name!r}: {hint}")


def read_layout(path: Path) -> Layout:
    """A layout file; raises InputError naming the file and the place."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the layout {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"the layout {path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("map"), dict):
        raise InputError(f"the layout {path} has no `map:` with a field of a transaction in each line")
    if unknown := sorted(map(str, data.keys() - _KEYS)):
        raise InputError(f"the layout {path} has {unknown[0]!r}: there are {', '.join(sorted(_KEYS))}")
    mapping = mapping_from(data["map"], f"the layout {path}", bool(data.get("keeps_rest")))
    columns = tuple(tuple(map(str, one)) for one in data.get("columns") or [])
    notes = tuple(map(str, data.get("notes") or []))
    return Layout(
        path.stem, str(data.get("title") or path.stem), mapping, columns, notes, str(data.get("source") or "")
    )


def write_layout(path: Path, title: str, mapping: Mapping, rows: Rows) -> None:
    """Write a mapping as a layout file that `read_layout` reads; raises InputError."""
    used = [name for expression in mapping.fields.values() for name in expression.columns]
    there = {column.strip().lower() for column in rows.columns}
    data: dict[str, Any] = {
        "title": title,
        "columns": [sorted({name for name in used if name.strip().lower() in there}, key=used.index)],
        "map": {name: str(expression) for name, expression in mapping.fields.items()},
    }
    if mapping.keeps_rest:
        data["keeps_rest"] = True
    try:
        path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=130), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the layout {path}: {error.strerror or error}") from None
