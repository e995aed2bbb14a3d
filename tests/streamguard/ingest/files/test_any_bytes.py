"""Whatever the bytes: rows, lines at fault, or one sentence; no other error, and no text that is lost."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.ingest.files import InputError, RefusedFile, Row, Unreadable, open_source


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", "id,amount\nn1,5\n")
    return file.getvalue()


_WHOLE = [
    b"id,amount\nn1,5\nn2,6\n",
    b'"id";"amount"\n"n;1";"5,00"\n"n2";"6,00"\n',
    b'{"id": "n1", "amount": 5.50}\n{"id": "n2"}\n',
    b'[{"id": "n1", "amount": {"x": 1}}, {"id": "n2"}]',
    b'{"added": [{"id": "n1"}], "n": 5}',
    b"OFXHEADER:100\nCHARSET:1252\n\n<OFX><CURDEF>USD<BANKACCTFROM><ACCTID>1</BANKACCTFROM><STMTTRN><TRNAMT>5</STMTTRN></OFX>",
    gzip.compress(b"id,amount\nn1,5\n"),
    _zip(),
]


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A file of some kind with bytes replaced, left out, put in, or cut off."""
    data = bytearray(draw(st.sampled_from(_WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\n", b",", b"{", b"]"])
        )
    return bytes(data)


@given(_damaged() | st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_there_are_rows_or_one_sentence(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "payments"
        file.write_bytes(data)
        try:
            source = open_source(str(file))
            assert source.found and source.columns
            getters = [source.getter(column) for column in source.columns]
            refused = RefusedFile(source, Path(folder) / "refused")
            for item in source.rows():
                refused.add(item, "a reason")
                if isinstance(item, Row):
                    assert all(getter(item.values) is not Ellipsis for getter in getters)
                else:
                    assert item.reason
            refused.close()
        except InputError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 1_000


_line = st.text(st.sampled_from("ab1\"',; \t\\é"), max_size=12)


@given(st.lists(_line, min_size=1, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=400, deadline=None)
def test_no_letter_of_a_csv_is_lost(lines: list[str], end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "payments.csv"
        file.write_text("x,y" + end + end.join(lines), encoding="utf-8", newline="")
        try:
            items = list(open_source(str(file), separator=",", header_line=1).rows())
        except InputError as error:
            assert "holds no rows" in str(error) or "no line that can be read" in str(error)
            return
        read = "".join(item.text if isinstance(item, Unreadable) else "".join(item.values) for item in items)
        assert [letter for letter in read if letter.isalnum()] == [
            letter for line in lines for letter in line if letter.isalnum()
        ]
        numbers = [item.line for item in items]
        assert numbers == sorted(set(numbers))
