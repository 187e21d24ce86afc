"""Every notebook runs from a clean kernel, offline, and is committed without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def read(path: Path) -> Any:
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    """What a notebook shows is made when it runs."""
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """From a clean kernel, in an empty folder; the quickstart ends with the conversation."""
    notebook = read(path)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs)
    assert "('OfflineChatModel', 'quickstart'): 3" in said
    assert said.count("You like fjords.") == 1
    shown = outputs[-1]["data"]["text/html"]
    assert shown.count("You like fjords.") == 1
    assert 'class="langchain-sessions"' in shown


def test_there_are_notebooks() -> None:
    """The glob above finds something."""
    assert [path.stem for path in NOTEBOOKS] == ["01_quickstart"]
