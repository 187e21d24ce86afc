"""Sessions on a terminal, or in a pipe: tables, chats, search hits, sums, and turns as they happen.

Each function returns something to print on a `rich.console.Console`. Texts from spans only ever become
`rich.text.Text`, where markup is not interpreted, after `clean` or `one_line` has made them harmless.
"""

from langchain_sessions.view._extra import missing

try:
    from langchain_sessions.view.terminal._hits import search_hit
    from langchain_sessions.view.terminal._live import turn_line
    from langchain_sessions.view.terminal._sessions import sessions_table
    from langchain_sessions.view.terminal._spans import span_tree
    from langchain_sessions.view.terminal._stats import stats_report
    from langchain_sessions.view.terminal._transcript import Transcript, transcript
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "rich":
        raise
    raise missing("the terminal view", error) from error

__all__ = [
    "Transcript",
    "search_hit",
    "sessions_table",
    "span_tree",
    "stats_report",
    "transcript",
    "turn_line",
]
