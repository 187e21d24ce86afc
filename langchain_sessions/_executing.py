"""Which run's body is executing here.

LangChain has a context variable that says so in the bodies of chains, functions, tools and graph nodes,
which it calls in a copy of the context. Not for the *leaf* runs: the body of a chat model, a completion
model or a retriever executes in its caller's context, and a streaming one in its consumer's, again and
again. So:

- When LangChain configures the callback manager of a leaf, `ConfigureHook` puts a `Leaf` into a context
  variable of ours, and the handler gives it the run when that starts.
- In the task or thread where this happened, the stack tells whether the body is executing: the frame of the
  LangChain function around it is there, or it is not. The consumer of a stream, between two chunks, is
  outside.
- Other tasks and threads have the leaf because they were started in the body. It counts there as long as no
  consumer can have started them, see `Trust`; after that, if the body of the model's synchronous stream is on
  their stack. Where neither is so, and the ids would differ, nobody can say whose it is: there are none.

A leaf is over when its run has ended, or when its callback manager is gone: LangChain keeps that in a local
variable, so it goes with the function, also where LangChain tells nobody of the end (a cancelled retriever).
"""

from __future__ import annotations

import sys
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables.config import var_child_runnable_config

from langchain_sessions import _overlay
from langchain_sessions._blocks import here
from langchain_sessions._langchain import (
    LEAF_STARTS,
    Trust,
    add_configure_hook,
    is_in_leaf_function,
    is_streaming,
    leaf_run_ids,
    remove_configure_hook,
)
from langchain_sessions._reports import logger
from langchain_sessions._runs import SESSION_ID, LiveRun, as_unsure, everywhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType
    from uuid import UUID

    from opentelemetry.context import Context


class Leaf:
    """A leaf run, from the moment when its callback manager is configured."""

    __slots__ = ("_home", "_is_over", "_manager", "around", "model", "outer", "run", "trust")

    def __init__(self, trust: Trust, manager: object, model: object, outer: Leaf | None) -> None:
        self.trust = trust
        self.model: Final = weakref.ref(model)
        self.run: LiveRun | None = None
        self.around = _run_id_in_langchains_variable()
        self.outer = outer
        self._is_over = False
        self._manager: Final = weakref.ref(manager)
        self._home: Final = weakref.ref(here())

    def is_of(self, manager: object) -> bool:
        """Whether this is the leaf of a callback manager."""
        return self._manager() is manager

    def is_expecting(self) -> bool:
        """Whether its run has yet to start."""
        return self.run is None and self._manager() is not None

    def is_live(self) -> bool:
        """Whether its run has started and is not over."""
        return (
            self.run is not None and not self.run.ended and not self._is_over and self._manager() is not None
        )

    def is_elsewhere(self) -> bool:
        """Whether this task or thread is another one than that in which the leaf was started."""
        return self._home() is not here()

    def extends_here(self) -> bool:
        """Whether a task or thread that has this leaf was started in its body.

        Asked where the stack does not have the body. If it does not have LangChain's function either, at the
        leaf's home, that has returned: which nothing else shows if LangChain told nobody of the end, and a
        traceback keeps the manager.
        """
        if self.run is None:
            return False
        if not self.is_elsewhere():
            self._is_over = self.trust is Trust.THROUGHOUT and not is_in_leaf_function()
            return False
        if self.trust is Trust.UNTIL_IT_SPEAKS:
            return not self.run.spoken
        return self.trust is Trust.THROUGHOUT


_leaf: Final[ContextVar[Leaf | None]] = ContextVar("langchain_sessions_leaf", default=None)


def begin_leaf(run: LiveRun, parent_run_id: UUID | None) -> None:
    """Take a starting run for the leaf that LangChain has configured here."""
    leaf = _leaf.get()
    if leaf is None:
        return
    if leaf.is_expecting():
        leaf.run = run
        run.leaf = leaf
    elif leaf.is_live() and parent_run_id == leaf.around and leaf.run is not everywhere.get(run.run_id):
        run.leaf = leaf  # one of several prompts in one call


def end_leaf(run: LiveRun) -> None:
    """Forget a leaf that ends, if this is where it was started."""
    leaf = _leaf.get()
    if leaf is not None and leaf.run is run:
        _leaf.set(_live(leaf.outer))


def executing() -> LiveRun | None:
    """Return the live run of ours whose body is executing here, the innermost one."""
    return _find()[0]


def _look(context: Context) -> Context:
    """Return the context in force here, where this one is attached."""
    if _leaf.get() is None and var_child_runnable_config.get() is None:
        return context
    run, perhaps = _find()
    if run is not None:
        leaf = run.leaf
        is_stream = isinstance(leaf, Leaf) and leaf.trust is not Trust.THROUGHOUT
        context = run.view_in_stream(context) if is_stream else run.view(context)
    for other in perhaps:
        if context.get(SESSION_ID, other.ids.get(SESSION_ID)) != other.ids.get(SESSION_ID):
            return as_unsure(context)
    return context


_overlay.look_with(_look)


def _run_id_in_langchains_variable() -> UUID | None:
    config = var_child_runnable_config.get()
    manager = None if config is None else config.get("callbacks")
    return manager.parent_run_id if isinstance(manager, BaseCallbackManager) else None


def _find() -> tuple[LiveRun | None, Sequence[LiveRun]]:
    """Return the run that is executing here, and those of streams that may be."""
    run_id = _run_id_in_langchains_variable()
    around = None if run_id is None else everywhere.get(run_id)
    leaf = _live(_leaf.get())
    if leaf is None:
        return around, ()
    candidates = [leaf for leaf in _and_outer(leaf) if leaf.around == run_id]
    if not candidates:
        return around, ()
    for leaf_run_id in leaf_run_ids():
        run = everywhere.get(leaf_run_id)
        if run is not None and run.leaf in candidates:
            return run, ()
    return _find_elsewhere(candidates, around)


def _find_elsewhere(
    candidates: Sequence[Leaf], around: LiveRun | None
) -> tuple[LiveRun | None, Sequence[LiveRun]]:
    """Where the stack has no leaf: return the one whose body has started this task or thread."""
    for leaf in candidates:
        if leaf.extends_here():
            return leaf.run, ()
    streams = [leaf for leaf in candidates if leaf.is_elsewhere() and leaf.is_live()]
    reading = [leaf.run for leaf in streams if is_streaming(leaf.model())]
    if len(reading) == 1:
        return reading[0], ()
    return around, [leaf.run for leaf in streams if leaf.run is not None]


def _live(leaf: Leaf | None) -> Leaf | None:
    while leaf is not None and not leaf.is_live():
        leaf = leaf.outer
    return leaf


def _and_outer(leaf: Leaf | None) -> Iterator[Leaf]:
    while leaf is not None:
        yield leaf
        leaf = _live(leaf.outer)


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
    leaf = _leaf.get()
    if trust is not None:
        manager = configuring.f_locals["callback_manager"]
        if leaf is None or not leaf.is_of(manager):  # LangChain may ask twice
            _leaf.set(Leaf(trust, manager, caller.f_locals["self"], _live(leaf)))
    elif leaf is not None and leaf.is_expecting():
        _leaf.set(_live(leaf))  # it did not start: its answer was cached


if _overlay.is_on():  # by OTEL_PYTHON_CONTEXT, so that there need not be a call of instrument()
    ConfigureHook(BaseCallbackHandler).add()
