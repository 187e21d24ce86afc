from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from langchain_sessions.store import (
    Span,
    SQLiteSessionStore,
    StoreError,
    StoreMissingError,
    default_place,
    open_store,
)
from langchain_sessions.view.cli import _MODULES
from langchain_sessions.view.cli._types import duration_of, moment_of, size_of
from tests.support.command_line import MAIN, lines, run, run_alone
from tests.support.conversations import NEW_YEAR
from tests.support.turns import turn
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def store(place: Path) -> Iterator[SQLiteSessionStore]:
    """A store of three sessions: alpha has three turns, beta failed, gamma is somebody else's."""
    store = SQLiteSessionStore(place)
    for number in (1, 2, 3):
        store.add(turn("alpha", number))
    root, *others = turn("beta", 4)
    store.add([replace(root, status="ERROR", status_message="ValueError('no')"), *others])
    store.add(turn("gamma", 5, project="support", user="eve", attributes={"input.value": "a red boat"}))
    yield store
    store.close()


def ids(*arguments: str) -> list[str]:
    """The ids that `list --json` gives with these arguments."""
    result = run("list", "--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return [item["id"] for item in json.loads(result.stdout)["items"]]


def refused(*arguments: str) -> str:
    """The message with which a command is refused as wrong usage."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()[-1]


def failed(*arguments: str) -> str:
    """The only line that a command prints when it fails."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    return line


@pytest.mark.usefixtures("store")
def test_list_shows_sessions_by_last_activity() -> None:
    """A row each, the latest first."""
    result = run("list")

    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[:3] for line in lines(result.stdout) if " question " in line or "boat" in line] == [
        ["gamma", "support", "eve"],
        ["beta", "shop", "ada"],
        ["alpha", "shop", "ada"],
    ]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("--project shop", "beta alpha"),
        ("--user eve", "gamma"),
        ("--errors", "beta"),
        ("--min-turns 2", "alpha"),
        ("--text boat", "gamma"),
        ("--sort turns --limit 1", "alpha"),
        ("--since 2026-01-01T00:03:30Z", "gamma beta"),
        ("--since 2026-01-01T01:03:30+01:00 --until 2026-01-01T00:05", "beta"),
        ("--until 2026-01-01", ""),
        ("--since 2h", ""),
        ("--project shop --user eve", ""),
    ],
)
def test_list_restricts(arguments: str, found: str) -> None:
    """Each option says which sessions are wanted; all of them have to hold."""
    assert ids(*arguments.split()) == found.split()


@pytest.mark.usefixtures("store")
def test_list_goes_on_where_it_ended() -> None:
    """The end of a page says how to get the next one; the last one says nothing."""
    first = run("list", "--limit", "2")
    [place] = re.findall(r"^There are more: the same again with --after (\S+)$", first.stdout, re.MULTILINE)
    second = run("list", "--limit", "2", "--after", place)

    assert "alpha" not in first.stdout
    assert "alpha" in second.stdout
    assert "There are more" not in second.stdout
    assert json.loads(run("list", "--limit", "2", "--json").stdout)["next"] == place


@pytest.mark.usefixtures("store")
def test_a_place_of_another_list_is_wrong_usage() -> None:
    """What --after takes belongs to one order; anything else is refused."""
    place = json.loads(run("list", "--limit", "1", "--json").stdout)["next"]
    remedy = "take it from the end of the page before, and use the same command and --sort"

    for command in (("list",), ("search", "boat")):
        assert refused(*command, "--after", "x") == (
            f"Error: Invalid value for '--after': 'x' is not a place in this list; {remedy}"
        )
    assert refused("list", "--sort", "turns", "--after", place).endswith(remedy)


@pytest.mark.usefixtures("store")
def test_nothing_found_is_said_and_no_failure() -> None:
    """An empty answer is an answer: exit code 0."""
    for arguments, said in (
        (("list", "--user", "nobody"), "No such sessions.\n"),
        (("search", "nothing"), "Nothing found.\n"),
        (("search", "!"), "Nothing found.\n"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (0, said, "")


def test_an_empty_store_is_no_failure(place: Path) -> None:
    """A store in which nothing is yet can be listed and summed up."""
    SQLiteSessionStore(place).close()

    assert run("list").stdout == "No sessions.\n"
    assert run("stats").stdout.startswith("0 sessions")
    assert failed("show", "abc") == "Error: there is no session 'abc'; the store has no sessions"
    assert (
        failed("show")
        == failed("show", "--json")
        == failed("show", "--project", "x")
        == "Error: No sessions."
    )


@pytest.mark.usefixtures("store")
def test_show_prints_a_session_as_a_chat() -> None:
    """All turns, one after the other."""
    result = run("show", "alpha")

    assert (result.exit_code, result.stderr) == (0, "")
    shown = lines(result.stdout)
    assert shown[1:3] == [
        "Session alpha",
        "ada · project shop · 3 turns · 9 spans · 36 tokens in, 9 out · $0.75 · began 2026-01-01 00:01 UTC",
    ]
    assert [line.split()[1:] for line in shown if line.startswith("  ada ")] == [
        ["question", "1"],
        ["question", "2"],
        ["question", "3"],
    ]


def test_show_without_an_id_shows_the_session_that_was_active_last(store: SQLiteSessionStore) -> None:
    """Of the project that is named, and with the other options as ever; where to go on names the session."""
    assert run("show").output == run("show", "gamma").output
    assert run("show", "--project", "shop").output == run("show", "beta").output
    assert run("show", "--json").output == run("show", "gamma", "--json").output
    store.add(turn("it's long", 6)[:1] + turn("it's long", 7)[:1])
    assert run("show", "--last", "1").output == run("show", "it's long", "--last", "1").output

    more = lines(run("show", "--limit", "1").stdout)[-1]
    assert more == f"There are more: the same again with 'it'\"'\"'s long' --from {7:032x}"
    assert failed("show", "--project", "x") == (
        "Error: there is no session in project 'x'; there are some in shop, support"
    )


@pytest.mark.usefixtures("store")
def test_show_prints_spans() -> None:
    """With --spans, each turn has its trace and its tree of spans."""
    shown = lines(run("show", "beta", "--spans").stdout)

    assert [line.strip() for line in shown[-4:]] == [
        f"trace {4:032x}",
        "chain CHAIN 1.0 s ValueError('no')",
        "├── search TOOL 100 ms ValueError('no')",
        "└── model LLM 700 ms",
    ]


@pytest.mark.usefixtures("store")
def test_show_begins_and_ends_where_it_is_told() -> None:
    """A long session is read in parts; each says where to go on."""
    first = run("show", "alpha", "--limit", "2").stdout
    rest = run("show", "alpha", "--from", f"{3:032x}").stdout
    part = run("show", "alpha", "--limit", "1", "--from", f"{2:032x}", "--spans", "--json")
    plain = json.loads(part.stdout)

    assert lines(first)[-1] == f"There are more: the same again with --from {3:032x}"
    assert ("question 2" in first, "question 3" in first) == (True, False)
    assert ("question 2" in rest, "question 3" in rest, "There are more" in rest) == (False, True, False)
    assert (plain["id"], plain["turn_count"], plain["next"]) == ("alpha", 3, f"{3:032x}")
    assert [(it["input"], [span["name"] for span in it["spans"]]) for it in plain["turns"]] == [
        ("question 2", ["chain", "search", "model"])
    ]
    assert failed("show", "alpha", "--from", "ff") == "Error: session 'alpha' has no turn of trace ff"


def test_show_reads_long_sessions_bit_by_bit(place: Path) -> None:
    """Every turn is shown once, however many pages they are."""
    store = SQLiteSessionStore(place)
    store.add([turn("long", number)[0] for number in range(1, 251)])
    store.close()

    said = re.findall(r"^  ada +question (\d+)$", run("show", "long").stdout, re.MULTILINE)
    assert said == [str(number) for number in range(1, 251)]
    assert len(json.loads(run("show", "long", "--json").stdout)["turns"]) == 250


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("alpa", "there is no session 'alpa'; did you mean alpha?"),
        ("ALP", "there is no session 'ALP'; did you mean alpha?"),
        ("amma", "there is no session 'amma'; did you mean gamma?"),
        ("zzz", "there is no session 'zzz'; `langchain-sessions list` shows those that are there"),
        (
            "alpha --project support",
            "there is no session 'alpha' in project 'support'; there is one in project 'shop'",
        ),
    ],
)
def test_an_unknown_session_is_a_failure_with_a_hint(arguments: str, message: str) -> None:
    """Exit code 1, and what might have been meant."""
    assert failed("show", *arguments.split()) == f"Error: {message}"


def test_a_session_of_several_projects_asks_for_one(store: SQLiteSessionStore) -> None:
    """The message has the options to choose from."""
    store.add(turn("alpha", 9, project="support"))

    assert failed("show", "alpha") == (
        "Error: several projects have 'alpha': add --project shop or --project support"
    )
    assert failed("show", "alpha", "--project", "x").endswith("; there are some in shop, support")
    assert "question 9" in run("show", "alpha", "--project", "support").stdout


@pytest.mark.usefixtures("store")
def test_search_shows_what_surrounds_the_words() -> None:
    """Each hit with its session and trace; the other options restrict in which sessions."""
    result = run("search", "red", "boat")

    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result.stdout) == [
        f"gamma · 2026-01-01 00:05 UTC · trace {5:032x}",
        "  eve        a red boat",
        "",
    ]
    assert run("search", "boat", "--project", "shop").stdout == "Nothing found.\n"
    assert run("search", "question", "--limit", "1").stdout.count("There are more") == 1


@pytest.mark.usefixtures("store")
def test_stats_sums_up() -> None:
    """In all, and restricted."""
    assert run("stats").stdout.splitlines()[0] == "3 sessions · 2 users · 5 turns · 15 spans"
    assert run("stats", "--text", "boat").stdout.splitlines()[0] == "1 session · 1 user · 1 turn · 3 spans"


@pytest.mark.usefixtures("store")
def test_json_has_the_fields_of_the_dataclasses() -> None:
    """Names as in Python; points in time as text, too; nothing that is not ASCII."""
    listed: dict[str, Any] = json.loads(run("list", "--json", "--errors").stdout)
    found: dict[str, Any] = json.loads(run("search", "boat", "--json").stdout)
    sums: dict[str, Any] = json.loads(run("stats", "--json").stdout)

    assert set(listed) == {"items", "next", "previous"}
    [beta] = listed["items"]
    assert (beta["id"], beta["error_count"], beta["started_ns"]) == ("beta", 1, NEW_YEAR + 240 * 10**9)
    assert (beta["started"], beta["last_activity"]) == (
        "2026-01-01T00:04:00.000000Z",
        "2026-01-01T00:04:01.000000Z",
    )
    assert found["items"][0]["role"] == "user"
    assert found["items"][0]["turn"]["session_id"] == "gamma"
    assert {"text": "boat", "is_match": True} in found["items"][0]["excerpt"]
    assert (sums["projects"], sums["days"][0]["day"]) == ([["shop", 2], ["support", 1]], "2026-01-01")


def test_json_cannot_steer_a_terminal(place: Path) -> None:
    """Every character that is not plain ASCII is escaped."""
    store = SQLiteSessionStore(place)
    store.add(turn("abc", attributes={"input.value": "\x1b[2J\u202e\x9b é", "odd": float("nan")}))
    store.close()
    ran = run_alone(MAIN, "show", "abc", "--json", "--spans")

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert {*ran.stdout} <= {*range(32, 127), 10}
    [read] = json.loads(ran.stdout, parse_constant=pytest.fail)["turns"]
    assert read["input"] == "\x1b[2J\u202e\x9b é"
    assert read["spans"][0]["attributes"]["odd"] == "nan"


@pytest.mark.parametrize(
    "command", ["list", "show", "show x", "search x", "stats", "prune --older-than 1d --yes"]
)
def test_a_store_that_is_not_there_is_one_message(command: str, place: Path) -> None:
    """The message names the file and what to do; none is made."""
    assert failed(*command.split()) == (
        f"Error: there is no session store at {place}; name another one with --store, or try one out: "
        "langchain-sessions demo"
    )
    assert not place.exists()


@pytest.mark.usefixtures("store")
def test_a_store_may_be_named_by_its_address(place: Path, tmp_path: Path) -> None:
    """--store takes a path or an address, and goes before the environment."""
    assert run("list", "--store", f"sqlite:///{place}", LANGCHAIN_SESSIONS_DB="/nowhere").exit_code == 0
    missing = failed("list", "--store", f"sqlite:///{tmp_path}/none.db")
    assert missing.startswith("Error: there is no session store")
    assert "there is no kind of session store for ftp://" in failed("list", "--store", "ftp://x/y")


def test_what_is_no_store_is_one_message(place: Path) -> None:
    """A file of something else is left alone."""
    place.write_bytes(b"x" * 5000)

    assert failed("list").startswith(f"Error: the session store {place} is damaged, or no SQLite database")
    assert place.read_bytes() == b"x" * 5000


def test_a_store_that_is_missing_is_told_from_one_that_is_wrong(place: Path) -> None:
    """`StoreMissingError` names the file that a store would be; what is no file is another error."""
    with pytest.raises(StoreMissingError) as caught:
        open_store(place, create=False)
    assert caught.value.path == place
    place.mkdir()
    with pytest.raises(StoreError, match="is no file") as other:
        open_store(place, create=False)
    assert not isinstance(other.value, StoreMissingError)


def test_the_default_store_is_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an option and a variable, the system's place for data of programs is looked at."""
    monkeypatch.delenv("LANGCHAIN_SESSIONS_DB")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    assert str(default_place()).startswith(str(tmp_path))
    assert str(default_place()) in failed("list")


@pytest.mark.usefixtures("store")
def test_show_ends_with_the_last_turns() -> None:
    """As many as are asked for, or all that there are."""
    shown = run("show", "alpha", "--last", "2").stdout
    assert [f"question {number}" in shown for number in (1, 2, 3)] == [False, True, True]
    assert "There are more" not in shown
    whole = json.loads(run("show", "alpha", "--last", "9", "--json").stdout)
    assert [it["input"] for it in whole["turns"]] == ["question 1", "question 2", "question 3"]
    assert refused("show", "alpha", "--last", "1", "--from", "ff") == "Error: give --from or --last, not both"


@pytest.mark.usefixtures("store")
def test_delete_forgets_one_session() -> None:
    """With all that was said in it, once it is agreed to; the others stay."""
    assert refused("delete", "alpha").endswith("add --yes to delete without being asked")
    assert failed("delete", "alph", "--yes").endswith("did you mean alpha?")
    assert failed("delete", "gamma", "--project", "shop", "--yes").endswith(
        "there is one in project 'support'"
    )
    assert ids() == ["gamma", "beta", "alpha"]

    result = run("delete", "alpha", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Deleted session alpha of project shop (3 turns, 9 spans).\n"
    assert ids() == ["gamma", "beta"]
    assert run("search", "question").stdout.count("alpha") == 0


@pytest.mark.usefixtures("store")
def test_colours_that_are_forced_do_not_make_a_file_a_terminal(tmp_path: Path) -> None:
    """With FORCE_COLOR, which notebooks set, a list has colours, and a file no progress bar."""
    assert "\x1b[" in run("list", FORCE_COLOR="1").stdout
    exported = run("export", "-o", str(tmp_path / "all.jsonl"), FORCE_COLOR="1")
    assert "\x1b" not in exported.output


@pytest.mark.usefixtures("store")
def test_prune_asks_first(place: Path) -> None:
    """Without a terminal there is nobody to ask, and nothing is deleted without --yes."""
    assert refused("prune").endswith("say what to delete: --older-than 30d, or --max-size 500MB")
    assert refused("prune", "--older-than", "1d").endswith("add --yes to delete without being asked")
    assert len(ids()) == 3

    result = run("prune", "--older-than", "1d", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(r"Deleted 3 sessions \(15 spans\); the store is .* smaller\.\n", result.stdout)
    assert ids() == []
    assert run("prune", "--max-size", "1GB", "--yes").stdout.startswith("Deleted 0 sessions")


@pytest.mark.usefixtures("store")
def test_prune_tells_what_it_would_delete() -> None:
    """With --dry-run, without being agreed to; nothing is deleted."""
    newest = "the newest of them was active last 2026-01-01 00:05 UTC"
    by_age = run("prune", "--older-than", "1d", "--dry-run")
    assert (by_age.exit_code, by_age.stderr) == (0, "")
    assert by_age.stdout == (f"Would delete 3 sessions (5 turns, 15 spans); {newest}. Nothing was deleted.\n")
    by_size = run("prune", "--max-size", "0", "--dry-run").stdout
    assert by_size == (
        "Would delete about 3 sessions (5 turns, 15 spans), as if all spans were of one size; "
        f"{newest}. Nothing was deleted.\n"
    )
    assert run("prune", "--max-size", "1GB", "--dry-run").stdout == "Nothing would be deleted.\n"
    assert refused("prune", "--dry-run").endswith("say what to delete: --older-than 30d, or --max-size 500MB")
    assert len(ids()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 3), ("y", 0, 0), ("\x03", 130, 3)])
def test_prune_takes_no_for_an_answer(answer: str, code: int, left: int) -> None:
    """On a terminal it asks, and deletes when the answer is yes: not when it is no, or Ctrl-C."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "prune", "--older-than", "1d", "--max-size", "1GB"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_with_terminal,
    ) as process:
        os.close(theirs)
        shown = ""
        while not shown.endswith("[y/N] "):
            shown += os.read(ours, 1000).decode()
        os.write(ours, f"{answer}\n".encode())
        with suppress(OSError):  # Linux's way to say that nobody writes there any more
            while more := os.read(ours, 1000):
                shown += more.decode()
        assert process.stdout is not None
        told = process.stdout.read().decode()
        assert process.wait(PATIENCE) == code
    os.close(ours)

    assert shown.startswith("Delete the sessions without activity since ")
    assert " UTC and the oldest ones until 1.0 GB are left? [y/N] " in shown
    assert told.startswith("Deleted 3 sessions") == (code == 0)
    assert "Traceback" not in shown
    assert len(ids()) == left


def _with_terminal() -> None:
    """Make the terminal the process's own, so that Ctrl-C typed there reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(
    ("text", "length"),
    [("30d", timedelta(30)), ("1.5h", timedelta(hours=1.5)), (" 2 W ", timedelta(14)), ("0s", timedelta(0))],
)
def test_durations_are_a_number_and_a_unit(text: str, length: timedelta) -> None:
    """Seconds to weeks."""
    assert duration_of(text) == length


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("500MB", 500 * 10**6), ("2 gib", 2 * 2**30), ("1.5kB", 1500)]
)
def test_sizes_are_a_number_and_a_unit(text: str, number: int) -> None:
    """Decimal units, and the binary ones with an i."""
    assert size_of(text) == number


def test_times_are_dates_or_how_long_ago() -> None:
    """UTC, unless an offset is given."""
    assert moment_of("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert moment_of("2026-11-01T08:30") == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
    assert moment_of("2026-11-01T08:30:15+02:00") == datetime(2026, 11, 1, 6, 30, 15, tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(hours=2) - moment_of("2h")) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list --since yesterday", "'yesterday' is neither a time, such as 2026-11-01"),
        ("list --since 999999d", "'999999d' is too long ago"),
        ("list --until 2026-13-01", "'2026-13-01' is neither a time"),
        ("list --limit 0", "'0' is not a number of 1 or more"),
        ("list --limit 9999999999999999999999", "is not a number of 1 or more"),
        ("list --min-turns x", "'x' is not a number of 1 or more"),
        ("list --sort size", "'size' is not one of"),
        ("tail -n -1", "'-1' is not a number of 0 or more"),
        ("prune --older-than 30", "'30' is not a number with s, m, h, d or w"),
        ("prune --older-than 999999999999999w", "is too long"),
        ("prune --max-size 5XB", "'5XB' is not a size, such as 500MB or 2GiB"),
        ("search", "Missing argument 'TEXT...'"),
        ("delete", "Missing argument 'ID'"),
        ("show --from ff", "--from names a turn of a session: give its ID, too"),
        ("completion tcsh", "'tcsh' is not one of"),
    ],
)
def test_wrong_values_are_wrong_usage(arguments: str, message: str) -> None:
    """Exit code 2, and the form that is expected."""
    assert message in refused(*arguments.split())


def complete(*words: str) -> list[str]:
    """What a shell is told when the last of the words is completed."""
    ran = run_alone(
        MAIN,
        COMP_WORDS=" ".join(["langchain-sessions", *words]),
        COMP_CWORD=str(len(words)),
        _LANGCHAIN_SESSIONS_COMPLETE="bash_complete",
    )
    assert ran.stderr == b""
    return [line.partition(",")[2] for line in ran.stdout.decode().split()]


@pytest.mark.usefixtures("store")
def test_shells_complete_session_ids(place: Path) -> None:
    """Ids of the store that is meant, the latest first; and what --sort takes."""
    assert complete("show", "al") == ["alpha"]
    assert complete("show", "--store", str(place), "") == ["gamma", "beta", "alpha"]
    assert complete("export", "alpha", "be") == ["beta"]
    assert complete("tail", "--session", "g") == ["gamma"]
    assert complete("list", "--sort", "la") == ["last_activity", "latency"]


def test_completion_is_silent_when_there_is_nothing(place: Path) -> None:
    """A store that is missing or damaged completes to nothing."""
    assert complete("show", "al") == []
    place.write_bytes(b"x" * 5000)
    assert complete("show", "al") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_a_shell_needs(shell: str) -> None:
    """The script asks the program by its own variable."""
    result = run("completion", shell)

    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_LANGCHAIN_SESSIONS_COMPLETE={shell}_complete" in result.stdout


def test_a_reader_that_goes_away_is_no_error(place: Path) -> None:
    """`| head` ends the command without a word, in the middle of a long conversation."""
    store = SQLiteSessionStore(place)
    store.add([turn("long", number)[0] for number in range(1, 2001)])
    store.close()
    for arguments in ("show long", "show long --json", "search question --limit 2000"):
        with subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            # 0 where a single write was cut short: Python takes that for the whole.
            assert process.wait(PATIENCE) in {0, 1}


@pytest.mark.parametrize("arguments", [["nothing"], ["demo", "--nothing"], []])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    """An unknown command, an unknown option and no command at all are wrong usage."""
    assert run(*arguments).exit_code == 2


def test_python_m_shows_the_help() -> None:
    """`python -m langchain_sessions --help` lists the commands."""
    command = [sys.executable, "-m", "langchain_sessions", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert (ran.returncode, ran.stderr) == (0, "")
    about, commands = ran.stdout.split("Commands:\n")
    assert about == (
        "Usage: langchain-sessions [OPTIONS] COMMAND [ARGS]...\n"
        "\n"
        "  Read the conversations of LangChain applications as conversations.\n"
        "\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  -h, --help  Show this message and exit.\n"
        "\n"
    )
    assert re.findall(r"^  (\S+)  +[A-Z]\w+ .*\.$", commands, re.MULTILINE) == list(_MODULES)


def test_the_version_is_told() -> None:
    """`--version` prints one line."""
    result = run("--version")

    assert result.exit_code == 0
    assert re.fullmatch(r"langchain-sessions, version .+\n", result.stdout)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("click", "the command line needs click: pip install 'langchain-sessions[view]'"),
        ("rich", "the command line needs rich: pip install 'langchain-sessions[view]'"),
        ("langchain", "the demonstration needs langchain: pip install 'langchain-sessions[demo]'"),
        ("langgraph", "the demonstration needs langgraph: pip install 'langchain-sessions[demo]'"),
    ],
)
def test_a_missing_extra_is_one_message(missing: str, message: str, place: Path) -> None:
    """Without click, rich, langchain or langgraph there is one line with what to install, no traceback."""
    ran = run_alone(f"import sys; sys.modules[{missing!r}] = None; {MAIN}", "demo")

    assert not place.exists()
    assert (ran.returncode, ran.stdout, ran.stderr.decode()) == (1, b"", f"Error: {message}\n")


def test_the_terminal_view_alone_names_what_it_needs() -> None:
    """Who imports it in a program of their own is told what to install."""
    code = "import sys; sys.modules['rich'] = None\nimport langchain_sessions.view.terminal"
    ran = run_alone(code)

    assert ran.returncode == 1
    message = "ImportError: the terminal view needs rich: pip install 'langchain-sessions[view]'"
    assert ran.stderr.decode().splitlines()[-1] == message


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("arguments", ["--help", "list", "show alpha", "stats --json"])
def test_a_command_loads_what_it_needs(arguments: str) -> None:
    """No command waits for a web server, and none that reads for LangChain."""
    heavy = {"jinja2", "langchain", "langchain_core", "langgraph", "markdown_it", "starlette", "uvicorn"}
    report = f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    ran = run_alone(f"import atexit, sys; atexit.register(lambda: {report}); {MAIN}", *arguments.split())

    assert (ran.returncode, ran.stderr) == (0, b"[]\n")


def test_an_id_that_was_forgotten_is_told(place: Path) -> None:
    """A store that has traces, but none of a session, says so, and what to do."""
    store = SQLiteSessionStore(place)
    store.add(
        [
            Span(
                trace_id="1" * 32,
                span_id="2" * 16,
                parent_id=None,
                name="a",
                start_ns=1,
                end_ns=2,
                attributes={},
            )
        ]
    )
    store.close()

    for command in ("list", "show"):
        assert "No sessions, but 1 trace in which no span names one." in run(command).output
