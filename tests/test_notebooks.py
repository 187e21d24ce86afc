"""Every notebook runs from a clean kernel, in an empty folder, without a network, and shows what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError

import nbformat
import psutil
import pytest

from langchain_sessions.demo import openai_server
from langchain_sessions.store import SQLiteSessionStore
from tests.across.processes import free_port
from tests.support.kernels import execute
from tests.support.phoenix import PROGRAM, PYTHON, missing
from tests.support.waiting import PATIENCE
from tests.support.web import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS: Final = Path(__file__).parent.parent / "notebooks"

NAMES: Final = (
    "01_quickstart",
    "02_langgraph_agent",
    "03_phoenix",
    "04_openai_and_llamaindex",
    "05_your_own_data",
)

CLEAN: Final = {
    **{
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "OTEL_", "LANGCHAIN_", "LANGSMITH_", "PHOENIX_", "MPL"))
    },
    # Whoever asks for something that is not on this machine asks a proxy that is not there.
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
}
"""The environment of a newcomer: no key, no settings, no network."""


@dataclass(frozen=True)
class Shown:
    """What a notebook shows, and what its variables are in the end."""

    printed: str
    values: list[str]
    html: list[str]
    markdown: list[str]
    errors: str
    found: Any

    @property
    def rich(self) -> list[str]:
        """What the HTML says, without its tags."""
        tags = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)
        return [" ".join(unescape(tags.sub(" ", it)).split()) for it in self.html]


def read(name: str) -> Any:
    """Return a notebook."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def place_of(process: psutil.Process) -> str:
    """Where a process runs; nowhere if it has ended."""
    try:
        return process.cwd()
    except psutil.NoSuchProcess:
        return ""


def run(name: str, folder: Path, probe: str = "None", **environment: str) -> Shown:
    """Run a notebook and then the expression `probe`; the kernel leaves no process behind."""
    notebook = read(name)
    notebook.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({probe}))"))
    execute(notebook, folder, {**CLEAN, **environment})
    assert [it for it in psutil.Process().children(recursive=True) if place_of(it) == str(folder)] == []

    *outputs, last = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    streams = [it for it in outputs if it.output_type == "stream"]
    data = [it.data for it in outputs if it.output_type != "stream"]
    return Shown(
        printed="".join(it.text for it in streams if it.name == "stdout"),
        values=[it["text/plain"] for it in data],
        html=[it["text/html"] for it in data if "text/html" in it],
        markdown=[it["text/markdown"] for it in data if "text/markdown" in it],
        errors="".join(it.text for it in streams if it.name == "stderr"),
        found=json.loads(last.text),
    )


def test_these_are_the_notebooks() -> None:
    """Each of them has its tests here."""
    assert tuple(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    """What a notebook shows is made when it runs."""
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert cells
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


def test_the_quickstart(tmp_path: Path) -> None:
    """Three turns of four spans, all in one session, which is shown in the end."""
    shown = run("01_quickstart", tmp_path, "[[turn.input, turn.output] for turn in conversation.turns]")

    assert shown.errors == ""
    answers = [
        "Hello! Nice to meet you, Ada.",
        "Noted: you like fjords. You like fjords.",
        "You are welcome!",
    ]
    assert shown.printed.splitlines() == answers
    [counted, _] = shown.values
    assert re.findall(r"'(\w+)', '([^']+)'\): (\d)", counted) == [
        (name, "quickstart", "3")
        for name in ("ChatPromptTemplate", "OfflineChatModel", "StrOutputParser", "RunnableSequence")
    ]
    asked = ["Hello, I'm Ada.", "I like fjords. What do I like?", "Thanks!"]
    assert shown.found == [list(pair) for pair in zip(asked, answers, strict=True)]
    [conversation] = shown.rich
    assert conversation.startswith("quickstart ada · 3 turns · 12 spans")
    assert [conversation.count(answer) for answer in answers] == [1, 1, 1]


AGENT: Final = [
    [
        "Hello, I'm Grace. Please book my days off from 2026-12-21 to 2026-12-31.",
        "May 2026-12-21 to 2026-12-31 be booked?",
        ["book_days_off"],
    ],
    ["yes", "Hello! Nice to meet you, Grace. From 2026-12-21 to 2026-12-31 it is booked.", ["book_days_off"]],
    ["What is the weather in Oslo?", "The weather in Oslo: snow, -2 °C.", ["weather"]],
    ["Thanks! Do you remember my name?", "You are welcome, Grace! Your name is Grace.", []],
]
"""The turns of the agent's notebook: what was said, what was answered, the tools."""


def assert_is_the_agents_conversation(shown: Shown, model: str) -> None:
    """Fail unless the notebook shows the four turns, every span of which is in the one session."""
    assert shown.errors == ""
    assert shown.found["turns"] == AGENT
    assert set(shown.found["ids"]) == {"grace-1"}
    assert shown.values[0] == "['May 2026-12-21 to 2026-12-31 be booked?']"
    counted = f"{len(shown.found['ids'])} spans in 4 traces: {{'grace-1'}}"
    assert shown.printed.splitlines() == [*(answer for _, answer, _ in AGENT[1:]), counted]
    runs = dict(re.findall(r"'(\w+)': (\d+)", shown.values[1]))
    assert {name: runs[name] for name in ("office", "leave", "travel", model, "book_days_off")} == {
        "office": "4",
        "leave": "3",
        "travel": "1",
        model: "5",
        "book_days_off": "2",
    }
    [conversation] = shown.rich
    assert conversation.startswith("grace-1 grace · 4 turns")
    said = [text for asked, answer, _ in AGENT for text in (asked, answer)]
    places = [conversation.index(f" {text}") for text in said]
    assert places == sorted(places)


AGENT_PROBE: Final = """{
    "ids": [span.attributes.get("session.id") for span in exporter.get_finished_spans()],
    "turns": [[turn.input, turn.output, [it.name for it in turn.tools]] for turn in conversation.turns],
}"""


def test_the_agent(tmp_path: Path) -> None:
    """Calls, subgraphs, an interrupt and its resumption are turns of one session."""
    shown = run("02_langgraph_agent", tmp_path, AGENT_PROBE)
    assert_is_the_agents_conversation(shown, "OfflineChatModel")


def test_the_agent_with_a_key(tmp_path: Path) -> None:
    """With a key in the environment OpenAI's model is asked, with that key."""
    with openai_server() as server:
        shown = run(
            "02_langgraph_agent",
            tmp_path,
            AGENT_PROBE,
            OPENAI_API_KEY="a key",
            OPENAI_BASE_URL=server.base_url,
        )
        requests = list(server.requests)

    assert_is_the_agents_conversation(shown, "ChatOpenAI")
    assert [request.headers["authorization"] for request in requests] == ["Bearer a key"] * 5


@pytest.fixture
def phoenix_command(tmp_path: Path) -> Iterator[Path]:
    """A folder with the command `phoenix`; fails the test if what it has started does not end by itself."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "serve.py"
    program.write_text(PROGRAM)
    command = folder / "phoenix"
    command.write_text(f"#!/bin/sh\nexec {shlex.quote(str(PYTHON))} {shlex.quote(str(program))}\n")
    command.chmod(0o755)
    yield folder
    started = [it for it in psutil.process_iter(["cmdline"]) if str(program) in (it.info["cmdline"] or ())]
    _, left = psutil.wait_procs(started, timeout=PATIENCE)
    for process in left:
        process.kill()
    assert left == []


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_phoenix(tmp_path: Path, phoenix_command: Path) -> None:
    """A server is started, gets a conversation, is read and annotated, and ends with the kernel."""
    folder, port = tmp_path / "work", free_port()
    folder.mkdir()
    shown = run(
        "03_phoenix",
        folder,
        "[[turn.input, turn.output] for turn in conversation.turns]",
        PATH=f"{phoenix_command}{os.pathsep}{os.environ['PATH']}",
        PHOENIX_PORT=str(port),
        PHOENIX_GRPC_PORT=str(free_port()),
        PHOENIX_TELEMETRY_ENABLED="false",
        PHOENIX_ALLOW_EXTERNAL_RESOURCES="false",
    )

    assert shown.errors == ""
    turns = [
        ["Hello, I'm Grace.", "Hello! Nice to meet you, Grace."],
        ["What is the weather in Bergen?", "The weather in Bergen: rain in Bergen, 9 °C."],
        ["Thanks! What is my name?", "You are welcome, Grace! Your name is Grace."],
    ]
    assert shown.found == turns
    address = f"http://127.0.0.1:{port}"
    assert shown.printed.splitlines() == [
        f"Phoenix is at {address}",
        *(f"{asked} → {answer}" for asked, answer in turns),
    ]
    assert f"[Open the conversation in Phoenix]({address}/redirects/sessions/trip%2Fbergen)" in shown.markdown
    [conversation] = shown.rich
    assert conversation.startswith("trip/bergen grace · project notebook · 3 turns")
    assert "name='helpful', label='yes', score=1.0, note='knew the weather'" in shown.values[-1]


def test_a_phoenix_that_runs_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the environment says that there is one, none is started; if it is not there, that is said."""
    [cell, *_] = [it for it in read("03_phoenix").cells if it.cell_type == "code"]
    with closing(SQLiteSessionStore(tmp_path / "s.db")) as store, serving(store) as address:
        monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", f"{address}/")
        made: dict[str, Any] = {}
        exec(cell.source, made)  # our own page says as well that it is in good health
    assert "server" not in made
    assert capsys.readouterr().out == f"Phoenix is at {address}\n"
    with pytest.raises(URLError, match="refused"):
        exec(cell.source, {})
    monkeypatch.delenv("PHOENIX_COLLECTOR_ENDPOINT")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="pip install arize-phoenix"):
        exec(cell.source, {})


THREE_LIBRARIES: Final = [
    ["Hi, I'm Bob.", "Hello! Nice to meet you, Bob.", "ChatCompletion, assistant"],
    ["What's my name?", "Your name is Bob.", "ChatCompletion, assistant"],
    [
        "I like trains. What do I like?",
        "Noted: you like trains. You like trains.",
        "ChatCompletion, ClientLLM.chat, SimpleChatEngine.chat",
    ],
    [
        "What did we talk about?",
        'You told me: your name is Bob; you like trains. You asked me: "What\'s my name?" "What do I like?"',
        "ChatPromptTemplate, ChatCompletion, ChatOpenAI, StrOutputParser, RunnableSequence",
    ],
]
"""The turns of the notebook with three libraries: what was said, what was answered, the spans."""


def test_three_libraries(tmp_path: Path) -> None:
    """OpenAI's SDK, LlamaIndex and LangChain are in one session; the server they ask is closed in the end."""
    probe = """{
        "ids": [
            [span.attributes.get("session.id"), span.attributes.get("user.id")]
            for span in exporter.get_finished_spans()
        ],
        "turns": [[turn.input, turn.output] for turn in conversation.turns],
        "server": server.base_url,
        "threads": [it.name for it in __import__("threading").enumerate() if "serve_forever" in it.name],
    }"""
    shown = run("04_openai_and_llamaindex", tmp_path, probe)

    assert shown.errors == ""
    assert shown.found["turns"] == [[asked, answer] for asked, answer, _ in THREE_LIBRARIES]
    assert shown.found["ids"] == [["bob-1", "bob"]] * 12
    assert shown.printed.splitlines() == [
        *(answer for _, answer, _ in THREE_LIBRARIES),
        " 4 spans of openinference.instrumentation.openai: bob-1",
        " 2 spans of assistant: bob-1",
        " 2 spans of openinference.instrumentation.llama_index: bob-1",
        " 4 spans of openinference.instrumentation.langchain: bob-1",
        *(f"{asked} | {spans}" for asked, _, spans in THREE_LIBRARIES),
    ]
    [conversation] = shown.rich
    assert conversation.startswith("bob-1 bob · 4 turns · 12 spans")
    places = [conversation.index(f" {text}") for turn in THREE_LIBRARIES for text in turn[:2]]
    assert places == sorted(places)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", shown.found["server"])
    assert shown.found["threads"] == []


def test_three_libraries_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key in the environment the client that all three use is OpenAI's, and no server is started."""
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    for name in [it for it in os.environ if it.startswith("OPENAI_") and it != "OPENAI_API_KEY"]:
        monkeypatch.delenv(name)
    [cell, *_] = [it for it in read("04_openai_and_llamaindex").cells if "client =" in it.source]
    made: dict[str, Any] = {}
    exec(cell.source, made)  # in this process, which has all the imports already

    with made["client"] as client:
        assert (client.api_key, str(client.base_url)) == ("a key", "https://api.openai.com/v1/")
    assert made["server"] is None


@pytest.fixture(scope="module")
def _fonts() -> None:
    """Matplotlib's list of fonts, which it makes once, and complains of if that takes long."""
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], capture_output=True, check=True)


@pytest.mark.usefixtures("_fonts")
def test_your_own_data(tmp_path: Path) -> None:
    """A store is listed, filtered, searched, summed up, charted and exported; the tables agree with it."""
    probe = """{
        "turns": turns[["session_id", "user", "input", "error", "tokens"]].fillna("").values.tolist(),
        "by_day": float(by_day.sum().sum()),
        "chats": [[it["user"], len(it["turns"])] for it in chats],
    }"""
    shown = run("05_your_own_data", tmp_path, probe)

    assert (shown.errors, shown.printed) == ("", "")
    demo, longest, failed, conversation, hits, stats, sessions, users, answers, exported = shown.rich
    turns = shown.found["turns"]
    broken = [(id_, asked, error) for id_, _, asked, error, _ in turns if error]

    assert re.findall(r"\bdemo-\w+", demo) == ["demo-agent", "demo-history", "demo-chain"]
    assert re.findall(r"support-\d+ (\w+)", longest) == ["ken"] * 3
    rows = re.findall(r"(support-\d+) \w+ \d+ (\d)", failed)
    assert [id_ for id_, _ in rows] == list(dict.fromkeys(id_ for id_, *_ in broken))[:3]
    assert {int(errors) for _, errors in rows} <= {1, 2}
    assert conversation.startswith(f"{rows[0][0]} ")
    assert f"{broken[0][1]} error TimeoutError: no answer in 6 s" in conversation
    found = re.findall(r"(support-\d+) \S+ \S+ UTC · trace [0-9a-f]{32} \w+ The boat arrived broken !", hits)
    assert found == [id_ for id_, _, asked, *_ in turns if asked == "The boat arrived broken!"][:3]
    assert shown.html[4].count("<mark>") == 6
    assert stats.startswith(f"33 sessions 4 users {len(turns)} turns {len(broken)} (")
    assert "<svg" in shown.html[5]
    assert "id user turn_count error_count prompt_tokens completion_tokens 0 demo-agent grace 4 0" in sessions
    for user in ("ada", "grace", "ken", "linus"):
        of_user = [(id_, error, tokens) for id_, name, _, error, tokens in turns if name == user]
        ids, errors = {id_ for id_, *_ in of_user}, [error for _, error, _ in of_user if error]
        row = (user, len(ids), len(of_user), len(errors), sum(tokens for *_, tokens in of_user))
        assert " ".join(map(str, row)) in users
    assert shown.found["by_day"] == sum(tokens for _, user, _, _, tokens in turns if user)
    assert "What did we talk about?" in answers
    assert len([it for it in shown.values if it == "<Figure size 800x250 with 1 Axes>"]) == 1
    assert {user for user, _ in shown.found["chats"]} == {"ada"}
    assert sum(count for _, count in shown.found["chats"]) == [user for _, user, *_ in turns].count("ada")
    assert "0 demo-chain Hello, I'm Ada and I live in Oslo." in exported
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ada.jsonl", "sessions.db"]
