"""The file of a backup: whole, or one sentence that says that it is not."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest

from streamguard.config import load_settings
from streamguard.stack.backup.archive import FORMAT, Manifest, Reader, Writer, new_file
from streamguard.stack.backup.restore import restore
from streamguard.stack.errors import StackError

MANIFEST = Manifest(FORMAT, "0.1.0", 14, "2026-01-01T00:00:00+00:00", 10, 20)
MEMBERS = {"broker/topics.json": b"[]", "broker/logs/t-0/0.log": bytes(range(256)) * 9000, "database/000001": b""}


def write(path: Path, manifest: Manifest = MANIFEST) -> bytes:
    with new_file(path) as file:
        writer = Writer(file)
        writer.add_manifest(manifest)
        for name, content in MEMBERS.items():
            writer.add(name, len(content), io.BytesIO(content + b"what came later"))
        writer.close()
    return path.read_bytes()


def read(path: Path) -> dict[str, bytes]:
    reader = Reader(path)
    found = {name: b"".join(pieces) for name, pieces in reader.members()}
    reader.finish()
    return found


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "b")
    assert read(tmp_path / "b") == MEMBERS and Reader(tmp_path / "b").manifest == MANIFEST
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["b"]


def test_a_file_that_is_cut_off_anywhere_or_has_one_wrong_byte_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "b")
    cut = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 60))]
    places = range(4, len(whole), max(1, len(whole) // 60))
    wrong = [whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in places]
    for damaged in (*cut, *wrong):
        (tmp_path / "d").write_bytes(damaged)
        try:
            assert read(tmp_path / "d") == MEMBERS  # a byte that means nothing, such as padding
        except StackError as error:
            assert "is no whole backup" in str(error) and "\n" not in str(error)
        else:
            assert damaged not in cut


def test_a_newer_format_and_what_is_no_backup_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "newer", replace(MANIFEST, format=FORMAT + 1, program="9.0"))
    with pytest.raises(StackError, match=r"has format 2.*install version 9\.0"):
        Reader(tmp_path / "newer")
    (tmp_path / "text").write_text("no backup")
    with pytest.raises(StackError, match="no whole backup"):
        Reader(tmp_path / "text")
    with pytest.raises(StackError, match="cannot be read: No such file"):
        Reader(tmp_path / "none")
    with pytest.raises(StackError, match="cannot be read: Is a directory"):
        Reader(tmp_path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "broker/../../outside"])
def test_a_member_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with new_file(tmp_path / "b") as file:
        writer = Writer(file)
        writer.add_manifest(MANIFEST)
        writer.add_bytes(name, b"x")
        writer.close()
    with pytest.raises(StackError, match="it has a member"):
        read(tmp_path / "b")


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises((StackError, KeyboardInterrupt)), new_file(tmp_path / "b"):
            raise error
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").write_text("mine")
    with pytest.raises(StackError, match="is there already"), new_file(tmp_path / "there"):
        pass
    with pytest.raises(StackError, match="is no folder"), new_file(tmp_path / "none" / "b"):
        pass


def test_what_cannot_be_restored_here_is_one_sentence_and_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for manifest, elsewhere, said in (
        (replace(MANIFEST, program="0.2.0"), "", r"made by StreamGuard 0\.2\.0 with schema 14"),
        (replace(MANIFEST, schema=10_000), "", "with schema 10000, this is"),
        (replace(MANIFEST, database_bytes=2**60), "", "are free for"),
        (MANIFEST, "kafka.example:9092", r"KAFKA_BOOTSTRAP_SERVERS names another \(kafka\.example:9092\)"),
    ):
        write(tmp_path / "b", manifest)
        with pytest.raises(StackError, match=said):
            restore(load_settings(state_dir=state, kafka_bootstrap_servers=elsewhere), tmp_path / "b", print)
        (tmp_path / "b").unlink()
        assert not {"postgres", "broker", "restore.new"} & {path.name for path in state.glob("*")}


def test_common_tools_can_list_it(tmp_path: Path) -> None:
    write(tmp_path / "b")
    with (
        pyarrow.CompressedInputStream(str(tmp_path / "b"), "zstd") as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        assert tar.getnames() == ["manifest.json", *MEMBERS, "checksums.json"]
