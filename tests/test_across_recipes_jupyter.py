"""The recipe for notebooks, in a real kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from langchain_sessions.store import open_store
from tests.support.kernels import execute
from tests.support.pages import DOCS, Page
from tests.support.recipes import ids_of_spans, told

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Page(DOCS / "recipes" / "jupyter.md")
CELLS = [block.code for block in PAGE.of("python")]
HELLO = ("Hello, I'm Ada.", "Hello! Nice to meet you, Ada.")
LATER = [
    ("I like fjords. What do I like?", "Noted: you like fjords. You like fjords."),
    ("Thanks!", "You are welcome!"),
]


def run(cells: list[str], folder: Path) -> list[Any]:
    """Run cells in a new kernel; return the cells with what they show."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    execute(notebook, folder, os.environ | {"TZ": "UTC"})  # the ids have the time: it must not go back
    nbformat.validate(notebook)
    return notebook.cells


def test_cells_may_be_run_again(tmp_path: Path) -> None:
    """Whatever is run again in a kernel, a turn is one trace of one session, each run once in it.

    The cells run from first to last, and once more; between, those with `instrument` and a turn run again.
    """
    set_up, chain, conversation, turn, later, show = CELLS
    cells = run([*CELLS, set_up, turn, set_up, chain, conversation, turn, later, show], tmp_path)

    shown = [
        "".join(output.data.get("text/html", "") for output in cell.outputs)
        for cell in cells
        if cell.source == show
    ]
    assert [html.count("Nice to meet you, Ada.") for html in shown] == [1, 1]
    assert all('class="langchain-sessions"' in html and "You like fjords." in html for html in shown)
    assert not [
        output for cell in cells for output in cell.outputs if output.output_type in ("error", "stream")
    ]

    store = open_store(tmp_path / "sessions.db")
    second, first = [each.id for each in store.sessions()]
    assert first < second
    assert [told(store, first)[0], sorted(told(store, first)[1:])] == [HELLO, sorted([HELLO, *LATER])]
    assert [told(store, second)[0], sorted(told(store, second)[1:])] == [HELLO, sorted(LATER)]
    for session_id in (first, second):
        for each in store.session(session_id).turns:
            spans = store.spans(session_id, each.trace_id)
            names = ["RunnableSequence", "ChatPromptTemplate", "OfflineChatModel", "StrOutputParser"]
            assert [span.name for span in spans] == names
            assert ids_of_spans(spans) == {(session_id, None)}
    store.close()


def test_what_shows_itself(tmp_path: Path) -> None:
    """Sessions, hits and statistics are shown as the page says, and a block is in force for its cell only."""
    names = ("store.sessions()", 'store.search("fjords")', "store.stats()")
    turn = CELLS[3].replace(", config", "")
    block = f'from langchain_sessions import session\nwith session("block"):\n    {turn}'
    after = turn.replace("Ada", "Nobody")
    cells = run([*CELLS, *names, block, after, "handler.force_flush()"], tmp_path)
    shown = {
        cell.source: cell.outputs[-1].data.get("text/html", "") for cell in cells if cell.source in names
    }
    assert all('class="langchain-sessions"' in html for html in shown.values())
    store = open_store(tmp_path / "sessions.db")
    assert told(store, "block") == [HELLO]
    assert not store.search("nobody")
    store.close()
