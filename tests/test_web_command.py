from __future__ import annotations

import asyncio
import builtins
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner

from langchain_sessions.view.cli import cli
from langchain_sessions.view.cli._serving import Endpoint, origin
from tests.across.processes import python_module, running
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """`ui` makes the store, prints where it is, answers, and ends quietly."""
    log = tmp_path / "ui.log"
    place = tmp_path / "new.db"
    command = python_module("langchain_sessions", "ui", "--store", str(place), "--port", "0")
    with running(*command, ready=r"(http://\S+/) ", log=log) as match:
        page = httpx.get(match[1], trust_env=False, timeout=PATIENCE)
        assert "Waiting for the first conversation" in page.text
        assert place.exists()
    assert log.read_text().count("\n") == 1, "the token and what people read must not be in a log"


async def test_answers_are_sent_at_once() -> None:
    """No small packet waits for the acknowledgement of the one before: that takes 40 ms for each answer."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        options = writer.get_extra_info("socket")
        accepted.set_result(options.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with Endpoint.of("127.0.0.1", 0).listening() as listener:
        async with await asyncio.start_server(on_connection, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await accepted == 1
            writer.close()
            await writer.wait_closed()


def test_other_machines_need_the_token_that_is_printed(tmp_path: Path) -> None:
    """On an address that others reach there is a token, printed once, as part of the address to open."""
    log = tmp_path / "ui.log"
    command = python_module(
        "langchain_sessions", "ui", "--store", str(tmp_path / "x.db"), "--port", "0", "--host", "0.0.0.0"
    )
    with running(*command, ready=r"http://[^:]+:(\d+)/\?token=(\S+) ", log=log) as match:
        base = f"http://127.0.0.1:{match[1]}"
        with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE) as client:
            assert client.get("/").status_code == 401
            assert client.get(f"/?token={match[2]}", follow_redirects=True).status_code == 200
            assert client.get("/").status_code == 200
            assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert log.read_text().count("token=") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "1", "--host", "192.0.2.1"], "another --port"),
        (["--host", "nonsense.invalid", "--port", "0"], "choose another --host"),
        (["--host", "x" * 300], "--host"),
        (["--token", "short", "--port", "0"], "16 characters or more"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    """A port or a token that will not do ends the command with the remedy."""
    result = CliRunner().invoke(cli, ["ui", "--store", str(tmp_path / "x.db"), *arguments])
    assert result.exit_code != 0
    assert said in result.output


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Starlette there is one error, with the install line."""
    for name in [it for it in sys.modules if it.startswith("langchain_sessions.view.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("langchain_sessions.view.web", raising=False)
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "starlette":
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments)

    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setattr(builtins, "__import__", without)
    result = CliRunner().invoke(cli, ["ui", "--port", "0"])
    assert result.exit_code == 1
    assert "pip install 'langchain-sessions[view]'" in result.output


def test_it_opens_the_page_and_ends_quietly_on_ctrl_c(tmp_path: Path) -> None:
    """`--open` shows the page in the user's browser; Ctrl-C is no error, and nothing is said about it."""
    (tmp_path / "browser.py").write_text(
        "import sys, pathlib\npathlib.Path(sys.argv[2]).write_text(sys.argv[1])\n"
    )
    browser = f"{sys.executable} {tmp_path / 'browser.py'} %s {tmp_path / 'opened'}"
    command = python_module(
        "langchain_sessions", "ui", "--store", str(tmp_path / "x.db"), "--port=0", "--open"
    )
    with subprocess.Popen(
        command,
        env=os.environ | {"BROWSER": browser},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().split()[3]
            assert httpx.get(url, trust_env=False, timeout=PATIENCE).status_code == 200
            program.send_signal(signal.SIGINT)
            said, _ = program.communicate(timeout=PATIENCE)
        finally:
            program.kill()
    assert (program.returncode, said) == (0, "")
    assert (tmp_path / "opened").read_text() == url


def test_the_address_to_open_fits_the_host() -> None:
    """IPv6 stands in brackets, and "all addresses" is this machine by its name."""
    assert origin("::1", "::1", 8377) == "http://[::1]:8377"
    assert origin("localhost", "127.0.0.1", 80) == "http://localhost:80"
    assert origin("0.0.0.0", "0.0.0.0", 80) == f"http://{socket.gethostname()}:80"
