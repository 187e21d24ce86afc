from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import unicodedata
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from langchain_sessions.store import Session, ToolUse, Turn
from langchain_sessions.view import sessions_table, transcript
from langchain_sessions.view.cli import cli
from tests.support.openai_server import openai_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from click.testing import Result
    from rich.console import RenderableType

QUIET = Turn(
    trace_id="0" * 32,
    input="Where is my boat?",
    output="In Oslo.",
    tools=(),
    prompt_tokens=1200,
    completion_tokens=34,
    started_ns=1_767_225_600_000_000_000,
    duration_ns=12_000_000,
    error=None,
    spans=4,
)
BUSY = replace(
    QUIET,
    input="What is 6 * 7,\nand who is there?",
    output="",
    tools=(
        ToolUse("calculator", "6 * 7", "42"),
        ToolUse("people", '{"city": "Oslo", "limit": 2}', "Ada\nGrace"),
        ToolUse("broken", "", "", "ValueError('no')"),
    ),
    duration_ns=3_400_000_000,
    error="ValueError('no')",
)
TABLE = """
                                                                tokens          median
 session                               user  turns  spans     in / out  errors    turn  first input
 ────────────────────────────────────────────────────────────────────────────────────────────────────────
 abc                                   ada       3     12  3,600 / 102       1   20 ms  Where is my boat?
 00000000-0000-0000-0000-000000000007  -         1      4   1,200 / 34       1   3.4 s  What is 6 * 7, a…

"""
HOSTILE = "[red]x[/red]\x1b[31m\x1b]0;title\x07\r\u202e\u009b2J[link=http://a]\udc80"
HARMLESS = r"[red]x[/red]\x1b[31m\x1b]0;title\x07 \u202e\x9b2J[link=http://a]\udc80"


def printed(*what: RenderableType, width: int = 80, terminal: bool = False) -> str:
    """What a console of this width shows, in colours if it is a terminal."""
    stream = io.StringIO()
    colours = "standard" if terminal else None
    console = Console(
        file=stream, width=width, highlight=False, force_terminal=terminal, color_system=colours
    )
    for each in what:
        console.print(each)
    return stream.getvalue()


def run(*arguments: str, **environment: str) -> Result:
    """Run the command line in this process, on a wide terminal."""
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "160"} | environment)


def run_alone(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in an interpreter of its own."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "COLUMNS": "80", **environment}
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)


def lines(text: str) -> list[str]:
    """The lines without the blanks that fill them up."""
    return [line.rstrip() for line in text.splitlines()]


def test_sessions_are_a_table() -> None:
    """Each session is one row: ids, counts, tokens, errors, median time of a turn, how it began."""
    sessions = [
        Session("abc", "ada", (QUIET, BUSY, replace(QUIET, duration_ns=20_000_000))),
        Session("00000000-0000-0000-0000-000000000007", None, (BUSY,)),
    ]

    assert lines(printed(sessions_table(sessions), width=106)) == TABLE.splitlines()


def test_a_long_id_wraps_when_the_terminal_is_narrow() -> None:
    """At 80 columns the id is still there in full, and so is the beginning of the first input."""
    session = Session("00000000-0000-0000-0000-000000000007", "ada", (BUSY,))

    assert lines(printed(sessions_table([session])))[4:] == [
        " 00000000-0000-  ada       1      4  1,200 / 34       1   3.4 s  What is 6 * 7…",
        " 0000-0000-0000",
        " 00000007",
        "",
    ]


def test_a_transcript_is_a_chat() -> None:
    """Who said what, with which tools, at what cost, and what went wrong."""
    session = Session("abc", "ada", (QUIET, BUSY))

    assert lines(printed(transcript(session))) == [
        "─" * 80,
        "Session abc",
        "ada · 2 turns · 8 spans · 2,400 tokens in, 68 out · began 2026-01-01 00:00 UTC ·",
        "1 error",
        "",
        "  ada        Where is my boat?",
        "  assistant  In Oslo.",
        "             12 ms · 1,200 tokens in, 34 out",
        "",
        "  ada        What is 6 * 7,",
        "             and who is there?",
        "  tool       calculator(6 * 7) → 42",
        '  tool       people(city="Oslo", limit=2) → Ada Grace',
        "  tool       broken() failed: ValueError('no')",
        "  error      ValueError('no')",
        "             3.4 s · 1,200 tokens in, 34 out",
    ]


def test_long_texts_wrap_beside_the_speaker() -> None:
    """A text keeps clear of the speaker's column, be it words, one long word or wide characters."""
    turn = replace(QUIET, input="word " * 14, output="x" * 80 + "日本" * 20)

    assert lines(printed(transcript(Session("s", None, (turn,))), width=60))[5:-1] == [
        "  user       word word word word word word word word word",
        "             word word word word word",
        "  assistant  " + "x" * 47,
        "             " + "x" * 33 + "日本" * 3 + "日",
        "             " + "本日" * 11 + "本",
        "             " + "日本" * 5,
    ]


def test_a_turn_without_texts_says_so() -> None:
    """Nothing said and nothing answered are shown as such."""
    shown = lines(printed(transcript(Session("s", None, (replace(QUIET, input="", output=""),)))))

    assert shown[4:6] == ["  user       (nothing)", "  assistant  (no answer)"]


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "<1 ms"),
        (499_999, "<1 ms"),
        (1_000_000, "1 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.0 s"),
        (59_940_000_000, "59.9 s"),
        (59_960_000_000, "1 min 0 s"),
        (125_000_000_000, "2 min 5 s"),
    ],
)
def test_a_duration_is_as_precise_as_it_needs_to_be(nanoseconds: int, shown: str) -> None:
    """From milliseconds to minutes, and never "60.0 s"."""
    turn = replace(QUIET, duration_ns=nanoseconds)

    assert (
        lines(printed(transcript(Session("s", None, (turn,)))))[-1].strip()
        == f"{shown} · 1,200 tokens in, 34 out"
    )


@pytest.mark.parametrize("arguments", ["{not json", "[1, 2]", "plain"])
def test_arguments_that_are_no_json_object_stay_as_they_are(arguments: str) -> None:
    """Only named arguments are written as in Python."""
    turn = replace(QUIET, tools=(ToolUse("tool", arguments, "ok"),))

    assert f"  tool       tool({arguments}) → ok" in lines(printed(transcript(Session("s", None, (turn,)))))


def test_errors_are_red() -> None:
    """On a terminal, a failed turn and a failed tool stand out."""
    shown = printed(transcript(Session("s", None, (BUSY,))), terminal=True)

    assert "\x1b[31m failed: ValueError('no')\x1b[0m" in shown
    assert "\x1b[1;31merror    \x1b[0m" in shown


def test_texts_are_shown_and_never_obeyed() -> None:
    """Markup, escape sequences and other control characters appear as text, wherever they come from."""
    turn = replace(
        QUIET,
        input=HOSTILE,
        output=HOSTILE,
        tools=(ToolUse(HOSTILE, HOSTILE, HOSTILE), ToolUse("t", "", "", HOSTILE)),
        error=HOSTILE,
    )
    session = Session(HOSTILE, HOSTILE, (turn,))
    shown = printed(sessions_table([session]), transcript(session), width=500, terminal=True)
    text = re.sub(r"\x1b\[[\d;]*m", "", shown)  # our own colours

    assert {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs"}} == {"\n"}
    assert lines(text)[-11:] == [
        f"Session {HARMLESS}",
        f"{HARMLESS} · 1 turn · 4 spans · 1,200 tokens in, 34 out · began 2026-01-01 00:00 UTC · 1 error",
        "",
        r"  [red]x[/red]\x1…  [red]x[/red]\x1b[31m\x1b]0;title\x07",
        r"                    \u202e\x9b2J[link=http://a]\udc80",
        f"  tool              {HARMLESS}({HARMLESS}) → {HARMLESS}",
        f"  tool              t() failed: {HARMLESS}",
        r"  assistant         [red]x[/red]\x1b[31m\x1b]0;title\x07",
        r"                    \u202e\x9b2J[link=http://a]\udc80",
        f"  error             {HARMLESS}",
        "                    12 ms · 1,200 tokens in, 34 out",
    ]


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


def test_a_pipe_gets_plain_text() -> None:
    """Without a terminal there are no escape sequences, no line is longer than 80 columns, ASCII suffices."""
    code = "from langchain_sessions.__main__ import main; main()"
    ran = run_alone(code, "demo", PYTHONIOENCODING="ascii")
    shown = ran.stdout.decode("ascii")

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert r"calculator(17 * 23) \u2192 391" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.encode().decode("unicode_escape").splitlines())) == 80


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


@pytest.mark.parametrize("arguments", [["nothing"], ["demo", "--nothing"], []])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """An unknown command, an unknown option and no command at all are wrong usage."""
    assert run(*arguments).exit_code == 2


def test_python_m_shows_the_help() -> None:
    """`python -m langchain_sessions --help` lists the commands."""
    command = [sys.executable, "-m", "langchain_sessions", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (
        "Usage: langchain-sessions [OPTIONS] COMMAND [ARGS]...\n"
        "\n"
        "  Read the conversations of LangChain applications as conversations.\n"
        "\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  -h, --help  Show this message and exit.\n"
        "\n"
        "Commands:\n"
        "  demo  Hold three short conversations and show them as sessions.\n"
    )


def test_the_version_is_told() -> None:
    """`--version` prints one line."""
    result = run("--version")

    assert result.exit_code == 0
    assert re.fullmatch(r"langchain-sessions, version .+\n", result.stdout)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("click", "the command line needs click: pip install 'langchain-sessions[view]'"),
        ("rich", "the terminal view needs rich: pip install 'langchain-sessions[view]'"),
        ("langchain", "the demonstration needs langchain: pip install 'langchain-sessions[demo]'"),
        ("langgraph", "the demonstration needs langgraph: pip install 'langchain-sessions[demo]'"),
    ],
)
def test_a_missing_extra_is_one_message(missing: str, message: str) -> None:
    """Without click, rich, langchain or langgraph there is one line with what to install, no traceback."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from langchain_sessions.__main__ import main; main()"
    )
    ran = run_alone(code, "demo")

    assert (ran.returncode, ran.stdout, ran.stderr.decode()) == (1, b"", f"Error: {message}\n")
