from __future__ import annotations

import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import open_store
from tests.support.command_line import MAIN, lines, run, run_alone
from tests.support.openai_server import openai_server

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("place")


def test_the_demo_prints_a_table_and_three_transcripts() -> None:
    """The table names the three sessions, and every one of them follows as a chat."""
    result = run("demo")

    assert (result.exit_code, result.stderr) == (0, "")
    shown = lines(result.stdout)
    assert [line.split()[0] for line in shown if re.match(r" demo-", line)] == [
        "demo-chain",
        "demo-history",
        "demo-agent",
    ]
    assert [line for line in shown if line.startswith("Session")] == [
        "Session demo-chain",
        "Session demo-history",
        "Session demo-agent",
    ]
    assert "  user       My sister is called Eve. Where do I work?" in shown
    assert "  tool       calculator(391 / 4) → 97.75" in shown
    assert "  tool       calculator(100 / 0) failed: 100 / 0 divides by zero" in shown
    assert "  assistant  You are welcome, Grace! Your name is Grace." in shown


def test_the_demo_keeps_what_it_shows(place: Path) -> None:
    """The conversations are in the default store, and the output says where and how to look at them."""
    result = run("demo")

    store = open_store(place, create=False)
    assert [it.id for it in store.sessions()] == ["demo-agent", "demo-history", "demo-chain"]
    store.close()
    [kept] = [number for number, line in enumerate(lines(result.stdout)) if line.startswith("Kept in")]
    told = lines(result.stdout)[kept:]
    assert told[0] == f"Kept in {place}. Look again with:"
    assert [re.sub(r"^\S+ (.*?)  .*", r"\1", line.strip()) for line in told[1:]] == [
        "list",
        "show demo-agent --spans",
        "search boat",
        "ui",
    ]


def test_the_demo_tells_commands_that_work(tmp_path: Path) -> None:
    """With a store of one's own, and in the second run, the commands name the store and the new ids."""
    elsewhere = str(tmp_path / "my store.db")
    run("demo", "--store", elsewhere)
    result = run("demo", "--store", elsewhere)

    assert f" show demo-agent-2 --spans --store '{elsewhere}' " in result.stdout
    shown = run("show", "demo-agent-2", "--spans", "--store", elsewhere)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "calculator TOOL" in shown.stdout


def test_a_store_that_cannot_be_is_one_message(tmp_path: Path) -> None:
    """A folder is no store, and nothing is said before that is known."""
    result = run("demo", "--store", str(tmp_path))

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: .* is a folder; name a file in it, such as .*sessions\.db\n", result.stderr)


def test_a_pipe_gets_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there are no escape sequences, no line is longer than 80 columns, ASCII suffices."""
    monkeypatch.chdir(tmp_path)
    ran = run_alone(MAIN, "demo", "--store", "a.db", PYTHONIOENCODING="ascii")
    shown = ran.stdout.decode("ascii")

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert r"calculator(17 * 23) \u2192 391" in shown
    assert "\x1b" not in shown
    chats = shown[: shown.index("Kept in")]  # after that are commands, to be copied
    assert max(map(len, chats.encode().decode("unicode_escape").splitlines())) == 80


def test_the_demo_talks_to_a_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--model`, a provider's own client answers, and its conversations are shown."""
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with openai_server() as server:
        result = run("demo", "--model", "openai:test", OPENAI_BASE_URL=server.base_url)

    assert (result.exit_code, result.stderr) == (0, "Talking to openai:test ...\n")
    assert "  assistant  echo: What's my name?" in lines(result.stdout)


def test_a_missing_key_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any call, the error names the variable to set."""
    for variable in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(variable, raising=False)
    result = run("demo", "--model", "openai:gpt-4o-mini")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Talking to openai:gpt-4o-mini ...\n"
        "Error: cannot use openai:gpt-4o-mini: set the environment variable OPENAI_API_KEY to your key\n"
    )


def test_a_missing_package_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the provider's package and how to install it."""
    monkeypatch.setitem(sys.modules, "langchain_groq", None)
    result = run("demo", "--model", "groq:any")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Talking to groq:any ...\n"
        "Error: cannot use groq:any. Initializing ChatGroq requires the langchain-groq package. "
        "Please install it with `pip install langchain-groq`\n"
    )


def test_an_unknown_provider_is_one_message() -> None:
    """The error repeats what was asked for, and lists what could be."""
    result = run("demo", "--model", "nobody:any")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "Talking to nobody:any ...\nError: cannot use nobody:any: ValueError: Unsupported provider='nobody'. "
    )


@pytest.fixture
def refusing() -> Generator[str]:
    """The address of a server that accepts no key, and puts an escape sequence into its refusal."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b'{"error": {"message": "bad key \\u001b[2J"}}'
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass  # standard error is what the test reads

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_a_refused_key_is_one_message(monkeypatch: pytest.MonkeyPatch, refusing: str) -> None:
    """When the call fails, the error says what the provider said, and shows what is not printable."""
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    result = run("demo", "--model", "openai:test", OPENAI_BASE_URL=refusing)

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"Talking to openai:test \.\.\.\n"
        r"Error: openai:test did not answer: \w*AuthenticationError: .*bad key \\x1b\[2J.*\n",
        result.stderr,
    )


@pytest.mark.parametrize("model", ["gpt-4o-mini", "openai:", ":gpt", ""])
def test_a_model_without_its_provider_is_wrong_usage(model: str) -> None:
    """Exit code 2, and the form that is expected."""
    result = run("demo", "--model", model)

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"Error: Invalid value for '--model': {model!r} is not PROVIDER:NAME, such as openai:gpt-4o-mini"
    )
