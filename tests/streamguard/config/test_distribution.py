"""The wheel holds the real files, whether it is built from a clone or from the source distribution."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.support.project import PROJECT_ROOT
from tests.support.wheel import build_sdist, build_wheel, copy_of_the_tree, unpack

PACKAGES = ("streamguard", "streamguard_broker", "streamguard_ksql")
NOT_SHIPPED = ("__pycache__", ".pyc")


def files_of_the_wheel(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(PACKAGES) and ".dist-info/" not in name]
        return {name: archive.read(name) for name in names}


def files_of_the_tree() -> dict[str, bytes]:
    """Every file below src/, symbolic links followed."""
    source = PROJECT_ROOT / "src"
    files: dict[str, bytes] = {}
    folders = [source / package for package in PACKAGES]
    while folders:
        for path in folders.pop().iterdir():
            if path.is_dir():
                folders.append(path)
            else:
                files[path.relative_to(source).as_posix()] = path.read_bytes()
    return {name: data for name, data in files.items() if not any(part in name for part in NOT_SHIPPED)}


def test_both_wheels_hold_what_the_tree_holds(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path)
    sdist = build_sdist(tree, tmp_path / "sdist")
    expected = files_of_the_tree()
    assert {
        "streamguard/data/ksqldb/queries.sql",
        "streamguard/data/docker/init-db.sql",
        "streamguard/data/ops/prometheus/alerts.yml",
        "streamguard/data/docker-compose.yaml",
        "streamguard/data/profiles/br.yaml",
    } <= set(expected)
    assert files_of_the_wheel(build_wheel(tree, tmp_path / "wheel")) == expected
    unpacked = unpack(sdist, tmp_path / "unpacked")
    assert files_of_the_wheel(build_wheel(unpacked, tmp_path / "again")) == expected
