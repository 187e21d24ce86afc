"""Which run's body is executing here.

LangChain has a context variable that says so in the bodies of chains, functions, tools and graph nodes,
which it calls in a copy of the context. Not for the *leaf* runs: the body of a chat model, a completion
model or a retriever executes in its caller's context, and a streaming one in its consumer's, again and
again, whoever that is. So:

- The stack tells, in the thread and task that asks: the frame of the LangChain function around a leaf's body
  is there, or it is not. The consumer of a stream, between two chunks, is outside.
- Other threads and tasks, which the body has started, have the leaf in a copy of a context variable of ours:
  `ConfigureHook` puts a `Leaf` there when LangChain configures the leaf's callback manager. It counts if the
  thread or task in which it was configured, its *home*, is waiting in the body now, and no consumer can have
  started the one that asks, see `Trust`. A stream that LangChain reads in threads of an executor is told by
  the body's own frame.
- Where neither is so, and the ids would differ, nobody can say whose it is: there are none.

The home is looked at each time. LangChain does not tell of every end (a chat model or a retriever that is
cancelled), and a traceback that somebody keeps also keeps whatever else might have told.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config

from langchain_sessions import _overlay
from langchain_sessions._blocks import here
from langchain_sessions._langchain import add_configure_hook, executing_run, remove_configure_hook
from langchain_sessions._reports import logger
from langchain_sessions._runs import (
    RUN,
    SESSION_ID,
    LiveRun,
    as_unsure,
    everywhere,
    find_live,
    session_of,
    without_leftovers,
)
from langchain_sessions._stacks import (
    LEAF_STARTS,
    Trust,
    context_of,
    leaf_in_task,
    leaf_in_thread,
    leaf_on_stack,
    models_on_stack,
    starting_manager,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator, Iterator, Sequence
    from types import FrameType
    from uuid import UUID

    from opentelemetry.context import Context


class Leaf:
    """A leaf's callback manager, and the run that it started: several for several lists of messages."""

    __slots__ = ("_home", "_manager", "_thread_id", "around", "model", "outer", "runs", "trust")

    def __init__(self, trust: Trust, manager: object, model: object, outer: Leaf | None) -> None:
        self.trust = trust
        self.model: Final = weakref.ref(model)
        self.runs: list[LiveRun] = []
        self.around = _run_id_in_langchains_variable()
        self.outer = outer
        runs = self.runs  # for the callback, which must not keep the leaf
        self._manager: Final = weakref.ref(manager, lambda _: _forget(runs))
        self._home: Final = weakref.ref(here())
        self._thread_id: Final = threading.get_ident()

    def is_of(self, manager: object) -> bool:
        """Whether this is the leaf of a callback manager."""
        return self._manager() is manager

    def is_over(self) -> bool:
        """Whether its function has returned, as far as that can be seen from anywhere."""
        return self._manager() is None or bool(self.runs and all(run.ended for run in self.runs))

    def is_elsewhere(self) -> bool:
        """Whether this task or thread is another one than the leaf's home, and does not share its context."""
        home, reader = self._home(), here()
        if not _is_task(home) or not _is_task(reader):
            return home is not reader
        return context_of(home) is not context_of(reader)

    def executing_runs(self) -> Sequence[LiveRun]:
        """Return the runs in whose body the home is waiting now."""
        home = self._home()
        ids: list[UUID] = []
        for _ in range(_LOOKS if home is not None else 0):
            if _is_task(home):
                ids += leaf_in_task(cast("asyncio.Task[Any]", home))
            ids += leaf_in_thread(self._thread_id)  # it may not have come to waiting yet
            if runs := [run for run in self.runs if not run.ended and run.run_id in ids]:
                return runs
        return ()

    def has_started(self) -> bool:
        """Whether nobody but its body can have started another task or thread that has it."""
        if self.trust is Trust.UNTIL_IT_SPEAKS:
            return not any(run.spoken for run in self.runs)
        return self.trust is Trust.THROUGHOUT


_LOOKS = 3
"""Home goes on while it is looked at, and may begin to wait between a look at its stack and one at what it
waits for."""

_leaf: Final[ContextVar[Leaf | None]] = ContextVar("langchain_sessions_leaf", default=None)

_streams: Final[set[LiveRun]] = set()
"""Live runs whose body may execute in any context: whoever reads the stream brings his."""

_wandering: Final[set[LiveRun]] = set()
"""Those of which that is known."""


def _is_task(home: object) -> bool:
    return hasattr(home, "get_coro")  # there are several classes of tasks: asyncio alone has two


def _forget(runs: Sequence[LiveRun]) -> None:
    """Look for the bodies of these no more."""
    _streams.difference_update(runs)
    _wandering.difference_update(runs)


class _Here(threading.local):
    """What our own callbacks are doing in this thread."""

    is_starting = False
    is_at_rest = False


_here: Final = _Here()


@contextmanager
def starting(parent_run_id: UUID | None) -> Generator[None]:
    """Answer, for as long as a run is starting, as for the place where it is called."""
    _here.is_starting = parent_run_id is None
    try:
        yield
    finally:
        _here.is_starting = False


@contextmanager
def at_rest() -> Generator[None]:
    """Leave the current context as it is attached, while a span is started or ended in a context of ours."""
    _here.is_at_rest = True
    try:
        yield
    finally:
        _here.is_at_rest = False


def begin_leaf(run: LiveRun) -> None:
    """Note a starting run with the leaf of the callback manager that starts it."""
    leaf = _leaf.get()
    manager = None if leaf is None else starting_manager()
    while leaf is not None and not leaf.is_of(manager):
        leaf = leaf.outer
    if leaf is not None and everywhere.get(run.run_id) is run:
        leaf.runs.append(run)
        run.leaf = leaf
        if leaf.trust is not Trust.THROUGHOUT:
            _streams.add(run)


def note_token(run: LiveRun) -> None:
    """Note that a model has spoken: the consumer of its stream may run from now on."""
    run.spoken = True
    if run.leaf is not None and run in _streams and run.leaf not in list(_and_outer(_leaf.get())):
        _wandering.add(run)


def end_leaf(run: LiveRun) -> None:
    """Forget a leaf that ends, if this is where it was started."""
    _forget([run])
    leaf = _leaf.get()
    if leaf is not None and leaf.is_over():
        _leaf.set(_open(leaf))


def executing() -> LiveRun | None:
    """Return the live run of ours whose body is executing here, the innermost one."""
    return _find(_overlay.attached())[0]


def _look(context: Context) -> Context:
    """Return the context in force here, where this one is attached."""
    seen = without_leftovers(context) if RUN in context else context
    if _leaf.get() is None and var_child_runnable_config.get() is None and not _streams:
        return seen
    if _here.is_at_rest:
        return context
    run, perhaps = _find(seen)
    if run is not None:
        leaf = run.leaf
        is_stream = isinstance(leaf, Leaf) and leaf.trust is not Trust.THROUGHOUT
        view = run.view_in_stream(context) if is_stream else run.view(context)
        seen = seen if view is context else view
    if any(seen.get(SESSION_ID, id_) != id_ for id_ in map(session_of, perhaps)):
        return as_unsure(seen)
    return seen


_overlay.look_with(_look)


def _run_id_in_langchains_variable() -> UUID | None:
    manager = executing_run()
    return None if manager is None else manager.parent_run_id


_Found: TypeAlias = "tuple[LiveRun | None, Sequence[LiveRun]]"
"""The run that is executing, and those that may be instead."""


def _find(context: Context) -> _Found:
    """Find the run that is executing here, where a context is in force so far."""
    run_id = _run_id_in_langchains_variable()
    around = find_live(run_id)
    leaf = _open(_leaf.get())
    # A stream that was started elsewhere is looked for where what it does could get another id.
    is_worth_it = leaf is not None or bool(_wandering or (_streams and (context or around)))
    if is_worth_it:
        ids = leaf_on_stack(is_starting=_here.is_starting)
        if runs := [run for id_ in ids if (run := find_live(id_)) is not None]:
            return _one_of(runs)
        if _streams and (models := models_on_stack()):
            return _find_by_model(models, leaf, around)
    return (around, ()) if leaf is None else _find_elsewhere(leaf, run_id, around)


def _find_by_model(models: Sequence[object], leaf: Leaf | None, around: LiveRun | None) -> _Found:
    """Return the run for which an executor's thread reads a model's synchronous stream."""

    def is_of_models(it: Leaf) -> bool:
        return bool(it.runs) and any(it.model() is model for model in models)

    leaves = [it for it in _and_outer(leaf) if is_of_models(it)]
    if runs := [run for it in leaves for run in it.executing_runs()]:
        return _one_of(runs)
    # Begun in another context, or over: that the model is being read for another run does not say for which.
    others = {run.leaf for run in tuple(_streams) if isinstance(run.leaf, Leaf)}
    return around, [run for it in others if is_of_models(it) for run in it.runs]


def _find_elsewhere(leaf: Leaf, run_id: UUID | None, around: LiveRun | None) -> _Found:
    """Where the stack has no leaf: return the one whose body has started this task or thread."""
    runs: list[LiveRun] = []
    perhaps: list[LiveRun] = []
    for it in _and_outer(leaf):
        if not it.runs or not it.is_elsewhere():
            continue
        if it.around == run_id and it.has_started():
            runs += it.executing_runs()
        elif it.trust is not Trust.THROUGHOUT:
            perhaps += it.runs if it.around == run_id else it.executing_runs()
    return _one_of(runs) if runs else (around, perhaps)


def _one_of(runs: Sequence[LiveRun]) -> _Found:
    """Return the first of some runs, if they are in one session: otherwise nobody can say which it is."""
    is_one = len({session_of(run) for run in runs}) == 1
    return (runs[0], ()) if is_one else (None, runs)


def _open(leaf: Leaf | None) -> Leaf | None:
    while leaf is not None and leaf.is_over():
        leaf = leaf.outer
    return leaf


def _and_outer(leaf: Leaf | None) -> Iterator[Leaf]:
    while (leaf := _open(leaf)) is not None:
        yield leaf
        leaf = leaf.outer


class ConfigureHook:
    """What LangChain asks for a handler whenever it configures a callback manager.

    Args:
        handler_class: Handlers of this class count: where there is one already, none is added.
        handler: What is added; None adds nothing.
        prepare: Called until it returns True.
    """

    def __init__(
        self,
        handler_class: type[BaseCallbackHandler],
        handler: BaseCallbackHandler | None = None,
        prepare: Callable[[], bool] | None = None,
    ) -> None:
        self.handler_class: Final = handler_class
        self._handler: Final = handler
        self._prepare = prepare

    def get(self) -> BaseCallbackHandler | None:
        """Return the handler; where it is a leaf that is being configured, expect it to start."""
        try:
            if self._prepare is not None:
                self.prepare()
            _expect_leaf(sys._getframe(1), sys._getframe(3))
        except Exception as error:
            # Without it, spans in the body of a model or a retriever are nested less deep; all else goes on.
            logger.debug("langchain_sessions cannot tell which run is being configured", exc_info=error)
        return self._handler

    def prepare(self) -> None:
        """Do what has to be done before the first run, as far as it can be done already."""
        if self._prepare is not None and self._prepare():
            self._prepare = None

    def add(self) -> None:
        """Have LangChain ask."""
        add_configure_hook(self)

    def remove(self) -> None:
        """Have it ask no more."""
        remove_configure_hook(self)


def _expect_leaf(configuring: FrameType, caller: FrameType) -> None:
    if caller.f_code.co_name == "<listcomp>" and caller.f_back is not None:  # before Python 3.12
        caller = caller.f_back
    trust = LEAF_STARTS.get(caller.f_code)
    if trust is None:
        return
    manager, leaf = configuring.f_locals["callback_manager"], _leaf.get()
    if leaf is None or not leaf.is_of(manager):  # LangChain may ask twice
        _leaf.set(Leaf(trust, manager, caller.f_locals["self"], _open(leaf)))


if _overlay.is_on():  # by OTEL_PYTHON_CONTEXT, so that there need not be a call of instrument()
    ConfigureHook(BaseCallbackHandler).add()
