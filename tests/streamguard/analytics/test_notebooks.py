"""The notebooks run as they are, over a small lake, and are kept without their outputs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.streamguard.analytics.data import Made
from tests.support.project import PROJECT_ROOT

NOTEBOOKS = sorted((PROJECT_ROOT / "notebooks").glob("*.ipynb"))


def read(file: Path) -> Any:
    """A notebook. The library has no types for it."""
    return nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]


def test_there_are_three_without_outputs() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["exploring", "fraud", "performance"]
    for file in NOTEBOOKS:
        for cell in read(file).cells:
            if cell.cell_type == "code":
                assert not cell.outputs and cell.execution_count is None
                compile(cell.source, file.name, "exec")


@pytest.mark.soak
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs(file: Path, small: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_URI", str(small.lake))
    monkeypatch.setenv("STREAMGUARD_STATE_DIR", str(tmp_path))
    # Jupyter's own files, and the kernel of this very Python.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix) / "share" / "jupyter"))
    notebook = read(file)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": os.getcwd()}})
    asyncio.run(client.async_execute())
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs)
