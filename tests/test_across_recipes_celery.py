"""The recipe for Celery, with a real worker and Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.across.broker import redis_server
from tests.across.processes import python_module, running
from tests.support.pages import DOCS, Page
from tests.support.recipes import ids_of_spans, stored, told
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is missing: scripts/services redis"
)

QUIET = ("--without-mingle", "--without-gossip", "--without-heartbeat")
"""There is no other worker to talk to."""

PAGE = Page(DOCS / "recipes" / "celery.md")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that keeps nothing on disk."""
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.mark.parametrize(("pool", "signal"), [("prefork", "worker_process_init"), ("solo", "worker_init")])
def test_the_worker_answers_in_the_senders_conversation(
    redis: str, tmp_path: Path, pool: str, signal: str
) -> None:
    """Sender, task, chain and model are one turn of the session; two senders at a time keep their ids."""
    PAGE.write_files(tmp_path)
    tasks, ask = tmp_path / "tasks.py", tmp_path / "ask.py"
    # Two limits that a busy machine may need more than.
    patient = f"\napp.conf.worker_proc_alive_timeout = {PATIENCE}\n"
    tasks.write_text(tasks.read_text().replace("worker_process_init", signal) + patient)
    ask.write_text(ask.read_text().replace("timeout=30", f"timeout={PATIENCE}"))
    (tmp_path / "other.py").write_text(
        ask.read_text().replace('"abc"', '"xyz"').replace("ada", "bob").replace("Ada", "Bob")
    )
    environment = {
        "CELERY_BROKER_URL": f"{redis}/{len(pool)}",
        "CELERY_RESULT_BACKEND": f"{redis}/{len(pool)}",
        **{f"OTEL_{each}_EXPORTER": "none" for each in ("TRACES", "METRICS", "LOGS")},
    }
    (command,) = [line.split() for line in PAGE.commands if line.startswith("celery")]
    arguments = (*python_module(*command), "--pool", pool, "--concurrency", "2", *QUIET)
    with running(*arguments, ready=r"celery@\S+ ready", log=tmp_path / "log", folder=tmp_path, **environment):
        senders = [
            subprocess.Popen(
                [sys.executable, name],
                cwd=tmp_path,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in ("ask.py", "other.py")
        ]
        said = [sender.communicate(timeout=PATIENCE)[0] for sender in senders]
        assert said == ["Hello! Nice to meet you, Ada.\n", "Hello! Nice to meet you, Bob.\n"]
        with stored(tmp_path / "sessions.db", turns=2, spans=10):
            pass  # the worker's processes end without storing what they still have
    with stored(tmp_path / "sessions.db", turns=2) as store:
        for session_id, user in (("abc", "ada"), ("xyz", "bob")):
            name = user.title()
            assert told(store, session_id) == [(f"Hello, I'm {name}.", f"Hello! Nice to meet you, {name}.")]
            (turn,) = store.session(session_id).turns
            spans = store.spans(session_id, turn.trace_id)
            assert [span.name for span in spans] == [
                *("apply_async/tasks.answer", "run/tasks.answer"),
                *("RunnableSequence", "OfflineChatModel", "StrOutputParser"),
            ]
            assert ids_of_spans(spans) == {(session_id, user)}
