"""Ids in W3C baggage: how they cross from one process to the next, and what is accepted on arrival.

Keys are the attribute names, `session.id` and `user.id`, which is also what OpenTelemetry's baggage span
processors in other languages write to spans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import baggage

from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from langchain_sessions._policy import SessionPolicy
    from langchain_sessions._reports import Reports


def with_baggage(context: Context, ids: Mapping[str, str]) -> Context:
    """Return a context with these ids in its baggage."""
    for name, id_ in ids.items():
        context = baggage.set_baggage(name, id_, context)
    return context


def without_other_ids(context: Context, ids: Mapping[str, str]) -> Context:
    """Return a context whose baggage names no other session or user than these."""
    for name, id_ in ids.items():
        if baggage.get_baggage(name, context) not in (None, id_):
            context = baggage.remove_baggage(name, context)
    return context


def inbound_id(
    name: str, context: Context, policy: SessionPolicy, reports: Reports | None = None
) -> str | None:
    """Return the id that baggage claims, if the policy accepts baggage and it is one.

    Only a canonical id is accepted. Every sender of ours sends it so; to repair what a stranger sent (to
    shorten it, or to remove control characters) would be to help him hit somebody's conversation.

    Args:
        name: `session.id` or `user.id`.
        context: Where baggage was extracted to.
        policy: Whether to accept it at all, its length limit and pseudonymization.
        reports: Counts what is refused.

    Returns:
        The id by the policy, or None.
    """
    if not policy.accept_baggage:
        return None
    claimed = baggage.get_baggage(name, context)
    if claimed is None:
        return None
    try:
        if isinstance(claimed, str) and len(claimed) <= policy.max_length:
            canonical = normalize_session_id(claimed, max_length=policy.max_length)
            if canonical == claimed:
                return policy.canonical(canonical)
    except InvalidSessionIdError:
        pass
    if reports is not None:
        reports.refuse_baggage()
    return None
