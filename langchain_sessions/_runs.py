"""The runs that are going on now: which span is whose, and which ids are in force in it.

Nothing here is kept after a run ends. What never ends (a stream that is held but not read, a killed task) is
bounded in number and in age.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from threading import RLock
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast
from weakref import WeakSet

from opentelemetry import trace as trace_api
from opentelemetry.context import Context, create_key

from langchain_sessions._baggage import SESSION_ID, USER_ID, with_baggage, without_other_ids
from langchain_sessions._overlay import attached

if TYPE_CHECKING:
    from uuid import UUID

CONVERSATION_ID: Final = "gen_ai.conversation.id"
"""What OpenTelemetry's conventions for generative AI call a session."""

MAX_LIVE_RUNS = 50_000
"""Runs open at once in one handler. 400 concurrent agents of 20 nested runs are 8,000."""

MAX_AGE_SECONDS = 24 * 60 * 60.0
"""A run that has been open for a day has been abandoned."""

MAX_ORPHAN_AGE_SECONDS = 60 * 60.0
"""A run whose parent has ended has usually been abandoned too: LangChain tells nobody of the end of a run
that is cancelled while other handlers are still being told of its start. A background task takes its time."""

NO_CONTEXT: Final = Context()

NO_IDS: Final[Mapping[str, str]] = MappingProxyType({})


_NOBODYS: Final = {SESSION_ID: ""}
"""Ids that every session's differ from."""


class Several(Enum):
    """More than one id was seen below a run, so none of them is the run's."""

    SEVERAL = 0


RUN: Final = create_key("langchain-sessions-run")
"""Whose view a context, or one that was made from it, is."""


STARTING: Final = create_key("langchain-sessions-starting")
"""In a context in which the span of a run starts, whose ids are settled; true if the current span is its
parent, whatever OpenInference says."""

UNSURE: Final = create_key("langchain-sessions-unsure")
"""In a context where a stream's body or its consumer may be executing, and their sessions differ."""


class RunSpan(Protocol):
    """A span that can keep ids to itself."""

    def conceal(self, secrets: Mapping[str, str]) -> None:
        """Replace these raw ids, too, by their pseudonyms in everything written from now on."""
        ...

    def get_span_context(self) -> trace_api.SpanContext:
        """Return its ids as OpenTelemetry propagates them."""
        ...


_NO_QUESTIONS: Final[dict[UUID, tuple[object, ...]]] = {}


class LiveRun:
    """One run between its start and its end.

    Attributes:
        run_id: LangChain's id of the run.
        parent: The enclosing run, if it is live and ours.
        ids: Attribute name (`session.id`, `user.id`) to id. Replaced, never changed in place: a child shares
            its parent's mapping.
        given: The raw values of the policy's keys in the run's metadata.
        configured: What the run's `configurable` held under these keys when it started; None if the run did
            not have to look there, or could not.
        provisional: The names among `ids` that came from the surroundings for want of a look at
            `configurable`, which would outrank them. The runs inside may know better.
        secrets: With pseudonymization: raw text to pseudonym, for every id met in this run and around it.
        span: Set once the span has started; stays None when tracing is suppressed.
        provider: Where the span goes.
        metadata: What LangChain told all handlers with the start.
        propagates: Whether its ids go into baggage.
        keeps_outer: Whether a session that is opened inside leaves the run's id in force, by its policy.
        ambient: The OpenTelemetry context that was attached where the run started.
        spoken: Whether a model's first token has been told: its consumer may have run since.
        leaf: Of a run in whose body LangChain does not say which run it is; see `_executing`.
        is_turn: Whether it is the outermost run of its trace: a turn of a conversation.
        questions: Of a turn: what the graph's nodes ask that were interrupted, by their run ids.
        ended: Whether the run is over; a child may outlive it.
        repeats: How often its start was told again, and its end will be: LangChain calls a handler twice that
            is both bound to a chain and passed to it.
    """

    __slots__ = (
        "_below",
        "_called",
        "_view",
        "ambient",
        "configured",
        "ended",
        "given",
        "ids",
        "is_turn",
        "keeps_outer",
        "leaf",
        "metadata",
        "parent",
        "propagates",
        "provider",
        "provisional",
        "questions",
        "repeats",
        "run_id",
        "secrets",
        "span",
        "spoken",
        "started",
    )

    def __init__(
        self,
        run_id: UUID,
        parent: LiveRun | None,
        *,
        ids: Mapping[str, str] = NO_IDS,
        given: tuple[object, ...] = (),
        secrets: Mapping[str, str] = NO_IDS,
    ) -> None:
        self.run_id = run_id
        self.parent = parent
        self.ids = ids
        self.given = given
        self.configured: Mapping[str, object] | None = None
        self.provisional: frozenset[str] = frozenset()
        self.secrets = secrets
        self.span: RunSpan | None = None
        self.provider: object = None
        self.metadata: Mapping[str, object] = NO_IDS
        self.propagates = self.keeps_outer = self.is_turn = False
        self.questions: dict[UUID, tuple[object, ...]] = _NO_QUESTIONS
        self.ambient = attached()
        self.spoken = False
        self.leaf: object = None
        self.started = monotonic()
        self.ended = False
        self.repeats = 0
        self._view: Context | None = None
        self._below: dict[str, str | Literal[Several.SEVERAL]] | None = None
        self._called: dict[str, bool] | None = None

    @classmethod
    def like(cls, parent: LiveRun, run_id: UUID) -> LiveRun:
        """Return a run that has all its parent has."""
        run = cls(run_id, parent, ids=parent.ids, given=parent.given, secrets=parent.secrets)
        run.configured = parent.configured
        return run

    def view(self, context: Context) -> Context:
        """Return what is in force in the run's body, where a context is attached.

        That is the run's own view, with its span and ids in it, as long as nothing was attached inside.
        """
        if context is self.ambient:
            if self._view is None:
                self._view = self._make_view()
            return self._view
        return context

    def view_in_stream(self, context: Context) -> Context:
        """Return what is in force in the body of a streaming model.

        It executes where its consumer does, who may have attached anything since the last chunk. So only a
        context that was made from the run's own view was attached inside.
        """
        return context if context.get(RUN) is self else self.view(self.ambient)

    def _make_view(self) -> Context:
        values = {**without_leftovers(self.ambient), RUN: self}
        ids = self.settled_ids()
        for name in (SESSION_ID, USER_ID):
            values.pop(name, None)
        view = without_other_ids(Context({**values, **ids}), ids)
        if self.propagates:
            view = with_baggage(view, ids)
        span = self.span
        if span is not None and span.get_span_context().is_valid:  # of no provider, it would hide a real one
            view = trace_api.set_span_in_context(cast("trace_api.Span", span), view)
        return view

    def tell_ancestors(
        self, ids: Mapping[str, str | Literal[Several.SEVERAL]], secrets: Mapping[str, str] = NO_IDS
    ) -> None:
        """Let the open ancestors know which ids were found below them; see `settle`."""
        ancestor = self.parent
        while ancestor is not None and not ancestor.ended:
            ancestor.note_below(ids, secrets)
            ancestor = ancestor.parent

    def note_below(
        self, ids: Mapping[str, str | Literal[Several.SEVERAL]], secrets: Mapping[str, str]
    ) -> None:
        """Remember ids that were found in a run inside this one."""
        with _below_lock:
            if self._below is None:
                self._below = {}
            for name, id_ in ids.items():
                if self._below.setdefault(name, id_) != id_:
                    self._below[name] = Several.SEVERAL
        if secrets and self.span is not None:
            self.span.conceal(secrets)

    def note_called(self, name: str, *, has_session: bool) -> None:
        """Remember of a run inside this one, that ends, whether it is in a session.

        What is called several times, now in a session and now in none, serves several conversations, of which
        one has no id.
        """
        with _below_lock:
            if self._called is None:
                self._called = {}
            if self._called.setdefault(name, has_session) is not has_session:
                self._below = {**(self._below or {}), SESSION_ID: Several.SEVERAL}

    def settle(self) -> bool:
        """At the end: a run without an id takes the one found below it, if there was exactly one.

        Earlier would be a guess: a run that serves two conversations (a batch job) belongs to neither. A user
        found in another session is not this run's. A provisional id gives way to the one found below.

        Returns:
            Whether the ids are other ones than before.
        """
        if not self._below:
            return False
        settled = self.settled_ids()
        session = self._below.get(SESSION_ID, settled.get(SESSION_ID))
        if session is Several.SEVERAL or session != settled.get(SESSION_ID, session):
            return False
        found = {name: id_ for name, id_ in self._below.items() if id_ is not Several.SEVERAL}
        self.ids = {**self.ids, **found, **settled}
        return True

    def settled_ids(self) -> dict[str, str]:
        """Return the ids that are not provisional."""
        return {name: id_ for name, id_ in self.ids.items() if name not in self.provisional}

    def release(self) -> None:
        """Let go of everything but the fact that the run has ended: a child may hold on to it for long."""
        self.ended = True
        self.parent = self.span = self.provider = self.leaf = self._view = None
        self.secrets = self.metadata = NO_IDS
        self.questions = _NO_QUESTIONS
        self.ambient = NO_CONTEXT


enclosing_spans: Final[WeakSet[object]] = WeakSet()
"""Spans to which only a turn that they enclose has given an id. It says nothing of what else they enclose."""

everywhere: Final[dict[UUID, LiveRun]] = {}
"""The live runs of all handlers by run id, each as the first handler that was told of it knows it."""


def find_live(run_id: UUID | None) -> LiveRun | None:
    """Return the live run with this id, whichever handler's; None if there is none, or several."""
    run = None if run_id is None else everywhere.get(run_id)
    return None if run is None or run.ended else run


def session_of(run: LiveRun) -> str | None:
    """Return the id of a run's session, unless it is provisional."""
    return run.settled_ids().get(SESSION_ID)


def without_leftovers(context: Context) -> Context:
    """Return a context without the ids of a run's view that it was made from, if that run has ended.

    A task or thread that was started in the run goes on with its context, and may serve anybody.
    """
    run = context.get(RUN)
    if not isinstance(run, LiveRun) or not run.ended:
        return context
    left = {name: context.get(name) for name in (SESSION_ID, USER_ID)}
    if not any(id_ is not None and id_ is run.ids.get(name) for name, id_ in left.items()):
        return context
    values = {
        key: value for key, value in context.items() if key not in left or value is not run.ids.get(key)
    }
    return without_other_ids(Context(values), _NOBODYS)


def as_unsure(context: Context) -> Context:
    """Return a context without ids, for a place where nobody can say whose they would be."""
    values = {**without_other_ids(context, _NOBODYS), UNSURE: True}
    for name in (SESSION_ID, USER_ID):
        values.pop(name, None)
    return Context(values)


def is_unsure(context: Context) -> bool:
    """Whether a context is such a one, or was made from it."""
    return bool(context.get(UNSURE))


def run_in(context: Context) -> LiveRun | None:
    """Return the live run whose view a context is, or was made from."""
    run = context.get(RUN)
    return run if isinstance(run, LiveRun) and not run.ended else None


_below_lock = RLock()
"""Guards what is found below a run: its children may start in several threads. Held for a few dictionary
operations, and only by runs that found an id which their parent does not have. Reentrant, because the garbage
collector may end a stream, and so a run, at any moment."""


def _renew_lock() -> None:
    """In a forked process: a thread that held the lock is not there to give it back."""
    global _below_lock
    _below_lock = RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


class LiveRuns:
    """The live runs of one handler, by run id, oldest first.

    Single dictionary operations are atomic, and a run is added and removed once, so no lock is needed.
    """

    def __init__(
        self,
        *,
        max_runs: int = MAX_LIVE_RUNS,
        max_age: float = MAX_AGE_SECONDS,
        max_orphan_age: float = MAX_ORPHAN_AGE_SECONDS,
    ) -> None:
        self._runs: dict[UUID, LiveRun] = {}
        self._max_runs = max_runs
        self._max_age = max_age
        self._max_orphan_age = max_orphan_age

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: UUID | None) -> LiveRun | None:
        """Return the live run with this id, or None."""
        return None if run_id is None else self._runs.get(run_id)

    def add(self, run: LiveRun) -> None:
        """Add a run that starts."""
        self._runs[run.run_id] = run
        everywhere.setdefault(run.run_id, run)

    def remove(self, run_id: UUID) -> LiveRun | None:
        """Remove and return a run that ends, or None if it is not known (any more)."""
        run = self._runs.pop(run_id, None)
        if run is not None and everywhere.get(run_id) is run:
            everywhere.pop(run_id, None)
        return run

    def overdue(self) -> LiveRun | None:
        """Remove and return the oldest run, if there are too many or it is too old."""
        try:
            oldest = next(iter(self._runs.values()))
        except (StopIteration, RuntimeError):  # there is none, or another thread ended or started a run
            return None
        if len(self._runs) <= self._max_runs and not self._is_too_old(oldest):
            return None
        return self.remove(oldest.run_id)

    def _is_too_old(self, run: LiveRun) -> bool:
        is_orphan = run.parent is not None and run.parent.ended
        return monotonic() - run.started > (self._max_orphan_age if is_orphan else self._max_age)
