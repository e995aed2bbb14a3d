"""Files of labelled payments read side by side: what one process reads, in the same order, with the same sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamguard.config import UserError
from streamguard.evaluation import files
from streamguard.evaluation.data import DataError, Labelled
from streamguard.evaluation.files import read

HEADER = "transaction_id,timestamp,customer_id,terminal_id,amount,is_fraud\n"


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors, and no file too small for a process."""
    monkeypatch.setattr(files, "LEAST_BYTES", 0)
    monkeypatch.setattr(files, "processors", lambda: 2)


def write(folder: Path, name: str, rows: list[str]) -> None:
    (folder / name).write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")


def test_files_read_side_by_side_are_what_they_are_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        rows = [f"{number}-{n},2018-04-0{n % 9 + 1}T00:00:0{number}Z,c{n},m,{n}.5{number},{n % 2}" for n in range(20)]
        write(tmp_path, f"{number}.csv", [*rows, f"bad{number},2018-04-01T00:00:00Z,c,m,-1,0", "short,row"])
    one_by_one = read(tmp_path)
    monkeypatch.setattr(files, "LEAST_BYTES", 0)
    monkeypatch.setattr(files, "processors", lambda: 2)
    assert told(read(tmp_path)) == told(one_by_one)
    assert one_by_one.refusals.count == 6 and len(one_by_one.payments) == 60


def told(found: Labelled) -> object:
    return found.payments, list(found.refusals.sentences()), found.files


@pytest.mark.usefixtures("beside")
def test_a_file_at_fault_among_several_is_its_own_sentence(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", ["a,2018-04-01T00:00:00Z,c,m,1.00,1"])
    write(tmp_path, "2.csv", ["b,03/04/2018 10:00,c,m,1.00,0"])
    with pytest.raises(UserError, match=r"in 2\.csv may be day/month or month/day.*--day-first"):
        read(tmp_path)
    (tmp_path / "2.csv").write_text("timestamp,customer_id,amount\n2018-04-01T00:00:00Z,c,1.00\n")
    with pytest.raises(DataError, match=r"2\.csv has no column that says which payments are fraud"):
        read(tmp_path)
