from __future__ import annotations

import gzip
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from langchain_sessions.store import (
    AmbiguousSessionError,
    Exported,
    Imported,
    SessionFilter,
    SessionNotFoundError,
    SQLiteSessionStore,
    StoreUnavailableError,
    TransferError,
    _jsonl,
    export_sessions,
    import_sessions,
)
from langchain_sessions.view.cli import _transfer, cli
from tests.support.stores import raw
from tests.support.turns import content, turn
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from click.testing import Result

COLLECTORS_OTHERS = (
    '{"resourceLogs":[{"resource":{},"scopeLogs":[]}]}\n{"resourceMetrics":[]}\n{"resourceProfiles":[]}\n'
)


def run(*arguments: object, code: int = 0, **options: Any) -> Result:
    """Run a command in this process, and check how it ended."""
    result = CliRunner().invoke(cli, [str(it) for it in arguments], **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store with three sessions in two projects, one trace of which belongs to two sessions."""
    place = tmp_path / "sessions.db"
    store = SQLiteSessionStore(place)
    shared = [replace(it, attributes={**it.attributes, "session.id": "other"}) for it in turn("abc", 9)[1:2]]
    store.add(
        [*turn("abc", 1), *turn("abc", 2, user="bob"), *turn("other", 3), *turn("abc", 4, project="two")]
    )
    store.add([*turn("abc", 9)[::2], *shared])
    store.close()
    return place


def everything(place: Path) -> str:
    """All of a store's content, in a form in which NaN is equal to NaN."""
    store = SQLiteSessionStore(place, create=False)
    try:
        return repr(sorted(content(store).items(), key=lambda it: it[0]))
    finally:
        store.close()


def counts(result: Result) -> tuple[int, int, int]:
    """The counts of an import: new, known, rejected."""
    read = json.loads(result.stdout)
    return read["new"], read["known"], read["rejected"]


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_what_is_exported_can_be_imported(place: Path, tmp_path: Path, name: str) -> None:
    """Another store then has equal sessions, turns and spans; doing it again changes nothing."""
    file, copy = tmp_path / name, tmp_path / "copy.db"
    result = run("export", "--store", place, "-o", file)
    assert result.stderr == f"Exported 3 sessions (6 turns) to {file}.\n"
    assert result.stdout == ""
    assert counts(run("import", file, "--store", copy, "--json")) == (15, 0, 0)
    assert everything(copy) == everything(place)
    assert counts(run("import", file, file, "--store", copy, "--json")) == (0, 30, 0)
    before = everything(place)
    assert run("import", file, "--store", place).stdout == "Imported 0 new spans (15 known) from 6 lines.\n"
    assert everything(place) == before


def test_a_pipe_from_one_store_to_another(place: Path, tmp_path: Path) -> None:
    """By default `export` writes to the standard output, and `-` is the standard input."""
    lines = run("export", "--store", place).stdout_bytes
    assert [set(json.loads(line)) for line in lines.splitlines()] == [{"resourceSpans"}] * 6
    run("import", "-", "--store", tmp_path / "copy.db", input=gzip.compress(lines))
    assert everything(tmp_path / "copy.db") == everything(place)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "a\x00b", "\u2028\n\r", '"\\', "\x9b31m", "🙂"])
)
values = st.recursive(
    scalars | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
attributes = st.dictionaries(st.text(max_size=5), values, max_size=4)


@settings(max_examples=60)
@given(attributes, attributes, scalars, st.text(), st.integers(0, 2**63))
@example({}, {}, 2.5, "\x00", 2**63)
def test_nothing_is_lost_whatever_spans_have(
    more: dict[str, Any], resource: dict[str, Any], said: Any, name: str, end: int
) -> None:
    """Any attribute, of a span, an event, a link or a process, is the same after export and import."""
    spans = turn("abc", 1, attributes={"input.value": said, **more, "session.id": "abc"})
    changed = [
        replace(
            it,
            name=name,
            end_ns=max(it.start_ns, end),
            resource={**it.resource, **resource},
            status_message=name,
            events=tuple(replace(e, name=name, attributes=more) for e in it.events),
            links=tuple(replace(e, attributes=more) for e in it.links),
        )
        for it in spans
    ]
    with tempfile.TemporaryDirectory() as folder:
        place, copy, file = (Path(folder, it) for it in ("a.db", "b.db", "file.jsonl"))
        store = SQLiteSessionStore(place)
        assert store.add(changed) == 3
        store.close()
        run("export", "--store", place, "--output", file)
        run("import", "--store", copy, file)
        assert everything(copy) == everything(place)


def test_a_huge_integer_becomes_its_digits(tmp_path: Path) -> None:
    """OTLP has 64 bits; what it means as a session's id or a user's is the same."""
    huge: dict[str, Any] = {"session.id": 2**70, "user.id": -(2**64), "n": 2**63}
    store = SQLiteSessionStore(tmp_path / "a.db")
    store.add(turn("", attributes=huge)[:1])
    run("export", "--store", store.path, "-o", tmp_path / "file")
    run("import", "--store", tmp_path / "b.db", tmp_path / "file")
    copy = SQLiteSessionStore(tmp_path / "b.db")
    assert copy.session(str(2**70)) == store.session(str(2**70))
    [span] = copy.spans(str(2**70), f"{1:032x}")
    assert {key: span.attributes[key] for key in huge} == {key: str(it) for key, it in huge.items()}
    store.close()
    copy.close()


def ids(result: Result) -> list[str]:
    """The session ids of a chat export."""
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["abc", "other", "abc"]),
        (["--project", "shop"], ["abc", "other"]),
        (["other"], ["other"]),
        (["abc", "other", "abc", "--project", "shop"], ["abc", "other"]),
        (["--min-turns", "3"], ["abc"]),
        (["--user", "ada", "--since", "2026-01-01T00:05"], ["abc", "other"]),
        (["--until", "2026-01-01"], []),
    ],
)
def test_which_sessions_are_exported(place: Path, arguments: list[str], expected: list[str]) -> None:
    """Those that are named, or all that fit the options."""
    assert sorted(ids(run("export", "--store", place, "--format", "chat", *arguments))) == sorted(expected)


def test_a_chat_export_is_what_was_said(place: Path) -> None:
    """One line for each session, with what evaluations need; nanoseconds and spans are not in it."""
    result = run("export", "other", "--store", place, "--format", "chat")
    read = json.loads(result.stdout)
    turns = read.pop("turns")
    assert read == {"id": "other", "project": "shop", "user": "ada", "started": "2026-01-01T00:03:00.000000Z"}
    assert turns[0] == {
        "trace_id": f"{3:032x}",
        "user": "ada",
        "started": "2026-01-01T00:03:00.000000Z",
        "latency_ms": 1000.0,
        "input": "question 3",
        "output": "answer 3",
        "tools": [{"name": "search", "input": "{}", "output": "", "error": "ValueError('no')"}],
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "cost": 0.25,
        "error": None,
    }
    assert [it["trace_id"] for it in turns] == [f"{3:032x}", f"{9:032x}"]


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["nope"], 1, "there is no session 'nope'"),
        (["abc"], 1, "is in several projects"),
        (["abc", "--user", "ada"], 2, "only --project"),
        (["--format", "csv"], 2, "Invalid value"),
        (["-o", "missing/folder/x.jsonl"], 1, "cannot write"),
    ],
)
def test_what_cannot_be_exported(place: Path, arguments: list[str], code: int, what: str) -> None:
    """One message, and the exit code that says whose mistake it was."""
    assert what in run("export", "--store", place, *arguments, code=code).stderr


def test_the_store_is_not_overwritten(place: Path) -> None:
    """A file that is the store itself is refused."""
    before = place.read_bytes()
    result = run("export", "--store", place, "-o", place, code=1)
    assert result.stderr == f"Error: {place} is the store itself; name another file to export to\n"
    assert place.read_bytes() == before


def test_a_missing_store_is_not_made_by_an_export(tmp_path: Path) -> None:
    """It is an error, and leaves no file behind."""
    run("export", "--store", tmp_path / "none.db", "-o", tmp_path / "x", code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_there_when_it_is_complete(place: Path, tmp_path: Path) -> None:
    """One that fails leaves what was there; one that succeeds is for its owner's eyes only."""
    file = tmp_path / "x.jsonl"
    file.write_text("before")
    run("export", "nope", "--store", place, "-o", file, code=1)
    assert file.read_text() == "before"
    (tmp_path / "link").symlink_to(file)
    run("export", "other", "--store", place, "-o", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(file.read_text().splitlines()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(it.name for it in tmp_path.iterdir() if "x.jsonl" in it.name) == ["x.jsonl"]


def test_a_pipe_with_a_name_is_written_to(place: Path, tmp_path: Path) -> None:
    """What is no ordinary file is not replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "langchain_sessions", "export", "other", "--store", place, "-o", pipe]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as exporting:
        lines = pipe.read_bytes().splitlines()
        exporting.communicate(timeout=PATIENCE)
    assert len(lines) == 2
    assert pipe.is_fifo()


def test_nobody_reads_to_the_end(place: Path) -> None:
    """An export into a pipe that is closed ends without a traceback."""
    store = SQLiteSessionStore(place)
    store.add(
        [it for number in range(100, 200) for it in turn("long", number, attributes={"x": "y" * 9_000})]
    )
    store.close()
    command = [sys.executable, "-m", "langchain_sessions", "export", "--store", place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as exporting:
        assert exporting.stdout
        assert exporting.stderr
        exporting.stdout.read(10)
        exporting.stdout.close()
        assert exporting.stderr.read() == b""


def spans_of(lines: Sequence[str]) -> str:
    """Lines as a file has them."""
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
def lines(place: Path) -> list[str]:
    """The lines of an export."""
    return run("export", "--store", place).stdout.splitlines()


def test_a_collectors_file_is_imported(tmp_path: Path, lines: list[str]) -> None:
    """Logs, metrics and empty lines between the spans are left out; a byte order mark does no harm."""
    file = tmp_path / "collector.json"
    file.write_text(f"\ufeff{lines[0]}\n\n{COLLECTORS_OTHERS}{spans_of(lines[1:])}", encoding="utf-8")
    result = run("import", "--store", tmp_path / "new.db", file)
    assert result.stdout == "Imported 15 new spans (0 known) from 9 lines, 3 without spans.\n"
    assert result.stderr == ""


def test_a_bad_line_stops_and_what_came_before_is_kept(tmp_path: Path, lines: list[str]) -> None:
    """The line is named by its number, and the exit code is 1."""
    file = tmp_path / "file.jsonl"
    file.write_text(spans_of([*lines[:2], "", lines[2][:-5], *lines[3:]]))
    store = tmp_path / "new.db"
    result = run("import", "--store", store, file, "--json", code=1)
    kept = json.loads(result.stdout)["new"]
    assert f"{file}, line 4: this is no JSON" in result.stderr
    assert f"What came before it is in the store ({kept} new spans)." in result.stderr
    assert (
        kept
        == json.loads(run("import", "--store", store, "-", "--json", input=spans_of(lines[:2])).stdout)[
            "known"
        ]
    )


def test_bad_lines_can_be_left_out(tmp_path: Path, lines: list[str]) -> None:
    """Each of the first ones is reported; the others are counted."""
    file = tmp_path / "file.jsonl"
    file.write_text(spans_of([*(["{}", "[]", "x"] * 10), *lines]))
    result = run("import", "--store", tmp_path / "new.db", file, "--skip-errors")
    assert result.stdout == "Imported 15 new spans (0 known) from 36 lines, 30 not readable.\n"
    assert len(result.stderr.splitlines()) == 10
    assert "line 1: this is JSON, but has no resourceSpans" in result.stderr


def test_a_span_that_is_refused_is_reported(tmp_path: Path, lines: list[str]) -> None:
    """The others of its line are kept."""
    line = lines[0].replace("00000000000000a3", "0000000000000000")
    result = run("import", "--store", tmp_path / "new.db", "-", input=line)
    assert "1 rejected, whose ids are none" in result.stdout
    assert "standard input, line 1: 1 span rejected: a span id has to be 8 bytes" in result.stderr


def test_a_chat_export_cannot_be_imported(place: Path, tmp_path: Path) -> None:
    """It is recognised, also with --skip-errors: none of its lines could be imported."""
    file = tmp_path / "chat.jsonl"
    run("export", "--store", place, "--format", "chat", "-o", file)
    for more in ([], ["--skip-errors"]):
        result = run("import", "--store", tmp_path / "new.db", file, *more, code=1)
        assert "line 1: this is a chat export" in result.stderr
        assert "Nothing was imported" in result.stderr


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_damaged_file_is_one_message(tmp_path: Path, lines: list[str], is_cut: bool) -> None:
    """A compressed file that ends too early, or is none, ends the command with what is wrong."""
    file = tmp_path / "file.gz"
    content = spans_of(lines).encode()
    file.write_bytes(gzip.compress(content)[:-20] if is_cut else b"\x1f\x8b" + content)
    result = run("import", "--store", tmp_path / "new.db", file, code=1)
    assert result.stderr.startswith(f"Error: {file}, after line")


def test_a_line_of_any_length_is_read_in_bounds(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no lines is not read into memory, and what follows a line that is too long is read."""
    monkeypatch.setattr(_jsonl, "LONGEST", len(lines[0]) + 10)
    file = tmp_path / "file.jsonl"
    file.write_text(spans_of(["x" * 20_000, lines[0]]))
    result = run("import", "--store", tmp_path / "new.db", file, "--skip-errors")
    assert "line 1: the line is longer than" in result.stderr
    assert "from 2 lines, 1 not readable" in result.stdout


def test_importing_what_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """No file, or a folder, ends with the exit code 2; no store is made."""
    run("import", "--store", tmp_path / "new.db", tmp_path / "none.jsonl", code=2)
    run("import", "--store", tmp_path / "new.db", tmp_path, code=2)
    run("import", "--store", tmp_path / "new.db", code=2)
    assert list(tmp_path.iterdir()) == []


def test_spans_are_of_their_sessions_only(place: Path) -> None:
    """Of a trace of two sessions, each export has its own part."""
    shared = run("export", "other", "--store", place).stdout.splitlines()[-1]
    [resource] = json.loads(shared)["resourceSpans"]
    [scope] = resource["scopeSpans"]
    assert [it["name"] for it in scope["spans"]] == ["search"]


@pytest.mark.parametrize("command", ["export", "import"])
def test_without_opentelemetry_proto_there_is_one_clear_error(place: Path, command: str) -> None:
    """It names the line that installs what is missing."""
    code = (
        "import sys; sys.modules['opentelemetry.proto'] = None\n"
        f"from langchain_sessions.__main__ import main\nsys.argv[1:] = {[command, '--store', str(place)]!r}"
        f"{' + [sys.executable]' if command == 'import' else ''}\nmain()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "Error: OTLP needs opentelemetry-proto: pip install 'langchain-sessions[view]'\n"


@pytest.fixture
def store(place: Path) -> Iterator[SQLiteSessionStore]:
    """The same store, open."""
    with closing(SQLiteSessionStore(place)) as store:
        yield store


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_a_program_takes_sessions_along(store: SQLiteSessionStore, tmp_path: Path, name: str) -> None:
    """As the commands do; it is told how far it has come, and what there was."""
    file = tmp_path / name
    done: list[int] = []
    assert export_sessions(store, file, progress=done.append) == Exported(sessions=3, turns=6)
    assert done == [1, 2, 3]
    assert (file.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    with closing(SQLiteSessionStore(tmp_path / "copy.db")) as copy:
        done.clear()
        assert import_sessions(copy, file, str(file), progress=done.append) == Imported(
            new=15, known=15, lines=12
        )
        assert done[-1] == 2 * file.stat().st_size
        assert content(copy) == content(store)


def test_a_program_takes_some_along(store: SQLiteSessionStore) -> None:
    """Those that a filter wants, or that are named; none if there are no ids in the list."""

    def lines(*arguments: Any, **options: Any) -> list[tuple[str, str]]:
        stream = io.BytesIO()
        exported = export_sessions(store, stream, *arguments, format="chat", **options)
        read = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert exported == Exported(len(read), sum(len(it["turns"]) for it in read))
        return [(it["project"], it["id"]) for it in read]

    shop = SessionFilter(project="shop")
    assert lines(SessionFilter(project="two")) == [("two", "abc")]
    assert lines(shop, session_ids=["other", "abc", "other"]) == [("shop", "other"), ("shop", "abc")]
    assert lines(session_ids=[]) == []
    with pytest.raises(AmbiguousSessionError):
        lines(session_ids=["abc"])
    with pytest.raises(SessionNotFoundError):
        lines(session_ids=["other", "nope"])
    with pytest.raises(ValueError, match="only its project may be given"):
        lines(SessionFilter(user="ada"), session_ids=["other"])
    with pytest.raises(TypeError, match=r"session_ids are several: write \['other'\]"):
        lines(session_ids="other")
    with pytest.raises(ValueError, match="format must be 'otlp' or 'chat', not 'csv'"):
        export_sessions(store, io.BytesIO(), format="csv")  # type: ignore[arg-type]


def test_streams_are_written_and_read(store: SQLiteSessionStore, tmp_path: Path) -> None:
    """In binary mode, compressed or not; a stream of text is refused with what to do."""
    stream = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=stream) as compressed:
        export_sessions(store, compressed)
    stream.seek(0)
    with closing(SQLiteSessionStore(tmp_path / "copy.db")) as copy:
        assert import_sessions(copy, stream).new == 15
        with pytest.raises(TypeError, match="open the file in binary mode, 'rb'"):
            import_sessions(copy, io.StringIO())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="open the file in binary mode, 'wb'"):
        export_sessions(store, io.StringIO())  # type: ignore[arg-type]
    assert not stream.closed


def test_what_a_terminal_gets_cannot_steer_it(store: SQLiteSessionStore) -> None:
    """The same JSON, in which all but ASCII is escaped."""
    store.add(turn("ö", 20, attributes={"input.value": "\x1b[2J\u202e\x9b é 🙂"}))
    plain, shown = io.BytesIO(), io.BytesIO()
    export_sessions(store, plain, session_ids=["ö"])
    export_sessions(store, _transfer._InAscii(shown), session_ids=["ö"])
    assert {*shown.getvalue()} <= {*range(32, 127), 10}
    assert json.loads(shown.getvalue()) == json.loads(plain.getvalue())


def test_a_session_that_is_deleted_meanwhile_is_left_out(store: SQLiteSessionStore, tmp_path: Path) -> None:
    """Between its line in the list and its turns; there is no empty conversation of it."""
    for kind in ("otlp", "chat"):
        with closing(SQLiteSessionStore(tmp_path / f"{kind}.db")) as some:
            some.add([*turn("one", 1), *turn("two", 2)])
            stream = io.BytesIO()
            exported = export_sessions(
                some, stream, format=kind, progress=lambda done, some=some: done == 1 and some.delete("one")
            )
            assert exported == Exported(sessions=1, turns=1)
            assert len(stream.getvalue().splitlines()) == 1


def test_what_cannot_be_written_or_read_is_one_error(store: SQLiteSessionStore, tmp_path: Path) -> None:
    """A `TransferError` that names the file; of an import it tells what is in the store."""
    for target, what in (
        (tmp_path / "no" / "x", f"cannot write {tmp_path}/no/x: No such file or directory"),
        (store.path, f"{store.path} is the store itself; name another file to export to"),
        (f"{store.path}-wal", f"{store.path}-wal is the store itself; name another file to export to"),
    ):
        with pytest.raises(TransferError) as caught:
            export_sessions(store, target)
        assert (str(caught.value), caught.value.imported) == (what, None)

    file = tmp_path / "x.jsonl"
    export_sessions(store, file, session_ids=["other"])
    with file.open("a") as stream:
        stream.write("{}\n")
    with closing(SQLiteSessionStore(tmp_path / "copy.db")) as copy:
        with pytest.raises(TransferError) as caught:
            import_sessions(copy, file)
        kept = "What came before it is in the store (4 new spans)."
        what = "this is JSON, but has no resourceSpans, as OTLP has"
        assert str(caught.value) == f"{file}, line 3: {what}. {kept}"
        assert caught.value.imported == Imported(new=4, lines=3, bad_lines=1)
        assert copy.stats().spans == 4
        with pytest.raises(TransferError) as caught:
            import_sessions(copy, tmp_path / "none")
        assert str(caught.value) == (
            f"cannot read {tmp_path}/none: No such file or directory. Nothing was imported."
        )
        said: list[str] = []
        assert import_sessions(copy, file, skip_errors=True, warn=said.append).bad_lines == 1
        assert said == [f"{file}, line 3: {what}"]


def test_a_store_that_fails_ends_an_import(store: SQLiteSessionStore, tmp_path: Path) -> None:
    """With the same error, which says how far it came; the store's own is its cause."""
    stream = io.BytesIO()
    export_sessions(store, stream)
    stream.seek(0)
    with closing(SQLiteSessionStore(tmp_path / "copy.db", wait=0.01)) as copy, raw(copy.path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransferError, match=r"is locked .*\. Nothing was imported\.$") as caught:
            import_sessions(copy, stream)
        other.execute("ROLLBACK")
        assert isinstance(caught.value.__cause__, StoreUnavailableError)
        assert caught.value.imported == Imported(lines=6)
