"""What sessions sum up to. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from langchain_sessions.store._answers import DayStats, SessionStats
from langchain_sessions.store._measures import nanoseconds, percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from langchain_sessions.store._answers import SessionFilter
    from langchain_sessions.store._model import Session, Turn


def stats_of(
    sessions: Iterable[Session], where: SessionFilter, project: str, *, traces_without_session: int
) -> SessionStats:
    """Sum sessions up; with a time or a user, only the turns that began in it, or are that user's.

    Args:
        sessions: Those that are wanted.
        where: What they were wanted for.
        project: Their project.
        traces_without_session: How many other traces the project has.
    """
    turns: list[Turn] = []
    days: dict[date, list[Turn]] = defaultdict(list)
    for session in sessions:
        some = [it for it in session.turns if _is_wanted(it, where)]
        turns += some
        for turn in some:
            days[turn.started.date()].append(turn)
    costs = [it.cost for it in turns if it.cost is not None]
    durations = [it.duration_ns for it in turns]
    count = len({it.session_id for it in turns})
    return SessionStats(
        sessions=count,
        users=len({it.user for it in turns} - {None}),
        turns=len(turns),
        spans=sum(it.span_count for it in turns),
        errors=sum(it.error is not None for it in turns),
        prompt_tokens=sum(it.prompt_tokens for it in turns),
        completion_tokens=sum(it.completion_tokens for it in turns),
        cost=sum(costs) if costs else None,
        p50_turn_ns=percentile(durations, 50) if durations else None,
        p95_turn_ns=percentile(durations, 95) if durations else None,
        traces_without_session=traces_without_session,
        projects=((project, count),) if count else (),
        days=tuple(_day(day, days[day]) for day in sorted(days)),
    )


def _is_wanted(turn: Turn, where: SessionFilter) -> bool:
    return (
        (where.user is None or turn.user == where.user)
        and (where.since is None or turn.started_ns >= nanoseconds(where.since))
        and (where.until is None or turn.started_ns < nanoseconds(where.until))
    )


def _day(day: date, turns: Sequence[Turn]) -> DayStats:
    durations = [it.duration_ns for it in turns]
    return DayStats(
        day=day,
        sessions=len({it.session_id for it in turns}),
        turns=len(turns),
        errors=sum(it.error is not None for it in turns),
        prompt_tokens=sum(it.prompt_tokens for it in turns),
        completion_tokens=sum(it.completion_tokens for it in turns),
        p50_turn_ns=percentile(durations, 50),
        p95_turn_ns=percentile(durations, 95),
    )
