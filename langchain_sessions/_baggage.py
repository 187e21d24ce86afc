"""Ids in W3C baggage: how they cross from one process to the next, and what is accepted on arrival.

Keys are the attribute names, `session.id` and `user.id`, which is also what OpenTelemetry's baggage span
processors in other languages write to spans.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from openinference.semconv.trace import SpanAttributes
from opentelemetry import baggage

from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id
from langchain_sessions._reports import Reports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from langchain_sessions._policy import SessionPolicy

SESSION_ID: Final = SpanAttributes.SESSION_ID
USER_ID: Final = SpanAttributes.USER_ID

_reports: Final = Reports()


def with_baggage(context: Context, ids: Mapping[str, str]) -> Context:
    """Return a context with these ids in its baggage.

    An id with a blank in it stays at home. OpenTelemetry for Python sends the blank as a plus sign, which
    other languages, by the W3C's rules, read as one: there it would be another id.
    """
    for name, id_ in ids.items():
        if " " in id_:
            context = baggage.remove_baggage(name, context)
            _reports.once(name, logging.WARNING, "a %s with a blank in it is not propagated", name)
        else:
            context = baggage.set_baggage(name, id_, context)
    return context


def without_other_ids(context: Context, ids: Mapping[str, str]) -> Context:
    """Return a context whose baggage names no other session or user than these.

    A user who came with another session goes with it.
    """
    claimed = {name: baggage.get_baggage(name, context) for name in (SESSION_ID, USER_ID)}
    is_other = claimed[SESSION_ID] not in (None, ids.get(SESSION_ID))
    for name, id_ in claimed.items():
        if id_ is not None and id_ != ids.get(name) and (is_other or name in ids):
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
