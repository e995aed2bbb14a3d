"""What is not opened, recognised by how it begins, each with the way to a file that is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamguard.ingest.files.errors import InputError

_SHEET = "a spreadsheet of {}: save it as CSV there (File, Save as), then import that"
_IN_PANDAS = "pandas.read_{}('{{name}}').to_parquet('payments.parquet')"
_PICKLE = (
    "a pickle, which is not opened because reading one runs whatever code is in it: where you trust it, convert it with "
    "python -c \"import pandas; pandas.read_pickle('{name}').to_csv('payments.csv', index=False)\" and import payments.csv"
)

_NO_TEXT = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x80-\xff]"
"""What tells letters at the beginning of a binary file from those of a header, such as PARENT_ID."""

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (rb"\x80[\x02-\x05]", _PICKLE),
    # Protocol 0 and 1: text that names a module, or a list.
    (rb"\(?c[\w.]+\n\w+\n([pq]\d+\n|q[\x00-\xff]|\()|\([ld]p0\n", _PICKLE),
    (rb"\xd0\xcf\x11\xe0", _SHEET.format("Excel (xls)")),
    (rb"%PDF-", "a PDF: ask the bank for the statement as CSV or OFX, or convert the tables in it to CSV"),
    (
        rb"Obj\x01",
        "an Avro file: convert it to Parquet or JSON lines, such as `avro-tools tojson {name} > payments.jsonl`",
    ),
    (rb"PARE" + _NO_TEXT, "an encrypted Parquet file: write it again without encryption"),
    (rb"(ARROW1|FEA1)" + _NO_TEXT, f"an Arrow or Feather file: convert it with {_IN_PANDAS.format('feather')}"),
    (rb"ORC" + _NO_TEXT, f"an ORC file: convert it with {_IN_PANDAS.format('orc')}"),
    (rb"\x89HDF", f"an HDF5 file: convert it with {_IN_PANDAS.format('hdf')}"),
    (rb"SQLite format 3", "a SQLite database: export the table with sqlite3 -header -csv {name} 'SELECT * FROM ...'"),
    (rb"7z\xbc\xaf|Rar!\x1a", "an archive of a kind that is not unpacked here: unpack it first"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a", "a picture: a file of rows is expected, such as CSV, JSON or Parquet"),
    (rb"\{\\rtf", "a text document (RTF): save it as CSV"),
    (rb":20:|\{1:F01", "a SWIFT MT940 statement: ask the bank for it as CSV or OFX"),
    (rb"!Type:", "a QIF file: export it as CSV or OFX"),
)
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body)\b", re.I | re.S)
_XML = re.compile(rb"\s*<\?xml|\s*<[A-Za-z_][\w:.-]*(\s[^<>]*)?>")
_MARKS = re.compile(rb"\xef\xbb\xbf")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1a\x1e\x1b"))
_MOST_CONTROLS = 0.02


def refuse(name: str, head: bytes) -> None:
    """Raise InputError for what is no file of rows; `head` is how the file begins, unpacked."""
    head = _MARKS.sub(b"", head[:4096], count=1)
    if not head.strip():
        raise InputError(f"{name} is empty: there is nothing to import")
    for pattern, text in _BEGINNINGS:
        if re.match(pattern, head):
            raise InputError(f"{name} is {text.format(name=name)}")
    if _HTML.match(head):
        raise InputError(
            f"{name} is a web page, perhaps an error or a login in the place of the file: open it in a browser, "
            "then fetch the file again"
        )


def refuse_xml(name: str, head: bytes) -> None:
    """Raise InputError for XML; OFX has been recognised by then."""
    if _XML.match(head):
        raise InputError(f"{name} is XML of a kind that is not read: of XML only OFX is, ask for CSV, JSON or OFX")


def refuse_binary(name: str, head: bytes) -> None:
    """Raise InputError for what is no text in one byte a letter; UTF-16 has its mark and is not asked about."""
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > _MOST_CONTROLS * len(head) + 2:
        raise InputError(
            f"{name} is binary data of a kind that is not known: CSV, JSON, Parquet and OFX are read; "
            "if it is text, --encoding says which, such as utf-16-le"
        )


def refuse_office(name: str, members: Sequence[str]) -> None:
    """Raise InputError for a zip that is an office document."""
    if "[Content_Types].xml" in members:
        kind = "Excel (xlsx)" if any(member.startswith("xl/") for member in members) else ""
    elif "mimetype" in members and "content.xml" in members:
        kind = "LibreOffice (ods)"
    else:
        return
    text = _SHEET.format(kind) if kind else "a text document of an office program: save its table as CSV"
    raise InputError(f"{name} is {text}")
