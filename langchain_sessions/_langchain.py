"""What LangChain knows about a run beyond what it tells its callbacks: the config it was called with.

LangChain passes a run's metadata to its callbacks, but not `configurable`, where `RunnableWithMessageHistory`
and LangGraph expect the conversation's id. Two places show it:

- `starting_config` reads the local variable `config` of the LangChain function that is starting the run. Only
  a run that has no id yet is worth the look (a few microseconds).
- `body_config` is the config of the run whose body is executing, through the context variable that LangChain
  itself uses to pass it on.

Both are read, nothing is patched. A missing answer costs an id, so contract tests watch both.

The body of a chat model, of a completion model and of a retriever is in no such variable. `LEAF_BODIES` are
the functions around these bodies, and the frames of these functions say whose body it is.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
from collections.abc import Mapping, Sequence
from contextvars import Context
from enum import Enum
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers import context as tracers

if TYPE_CHECKING:
    from types import CodeType, FrameType
    from uuid import UUID

_CALLBACK_PACKAGES: Final = ("langchain_sessions.", "langchain_core.callbacks.", "openinference.")
"""Where the frames between a run's start and our callback live."""

_RUNNABLE_PACKAGES: Final = frozenset({"langchain_core", "langchain", "langchain_classic", "langgraph"})
"""Packages that call the config of a run `config`. In anybody else's code the name may mean anything."""


class Trust(Enum):
    """Who may have started a task or thread that has a leaf run (a model's, a retriever's) in its context."""

    THROUGHOUT = "its body alone: no consumer runs before it ends"
    UNTIL_IT_SPEAKS = "its body alone until the first token, then its consumer, too"
    NOWHERE = "its consumer, too: the first token may reach him untold"


def _code(owner: type, name: str) -> CodeType | None:
    method = getattr(owner, name, None)
    return None if method is None else getattr(inspect.unwrap(method), "__code__", None)


LEAF_STARTS: Final[Mapping[CodeType | None, Trust]] = {
    _code(BaseChatModel, "generate"): Trust.THROUGHOUT,
    _code(BaseChatModel, "agenerate"): Trust.THROUGHOUT,
    _code(BaseChatModel, "stream"): Trust.UNTIL_IT_SPEAKS,
    _code(BaseChatModel, "astream"): Trust.UNTIL_IT_SPEAKS,
    _code(BaseChatModel, "_chat_model_stream_v3"): Trust.NOWHERE,
    _code(BaseChatModel, "_achat_model_stream_v3"): Trust.NOWHERE,
    _code(BaseLLM, "generate"): Trust.THROUGHOUT,
    _code(BaseLLM, "agenerate"): Trust.THROUGHOUT,
    _code(BaseLLM, "stream"): Trust.NOWHERE,
    _code(BaseLLM, "astream"): Trust.NOWHERE,
    _code(BaseRetriever, "invoke"): Trust.THROUGHOUT,
    _code(BaseRetriever, "ainvoke"): Trust.THROUGHOUT,
}
"""The functions that configure a callback manager for a leaf run, and start it. None stands for one that this
version of LangChain does not have."""

LEAF_BODIES: Final = frozenset(
    _code(owner, name)
    for owner, names in (
        (BaseChatModel, ("stream", "astream", "_generate_with_cache", "_agenerate_with_cache")),
        (BaseChatModel, ("_iter_v2_events", "_aiter_v2_events")),
        (BaseLLM, ("stream", "astream", "_generate_helper", "_agenerate_helper")),
        (BaseRetriever, ("invoke", "ainvoke")),
    )
    for name in names
) - {None}
"""The functions that call a leaf's body: its `_generate`, `_stream`, `_get_relevant_documents`. While the
body executes, one of them is on the stack with its `run_manager`, or its `run_managers`."""


_AROUND_BODIES: Final = LEAF_BODIES | {_code(BaseChatModel, "agenerate")}
"""And one that has its bodies executed in tasks of their own, and waits for them."""

_STARTS: Final = frozenset(
    _code(owner, name)
    for owner in (CallbackManager, AsyncCallbackManager)
    for name in ("on_chat_model_start", "on_llm_start", "on_retriever_start")
)

_EVENTS_FILE: Final = inspect.getfile(CallbackManager)
"""While one of its functions is called by that of a leaf, the leaf's body has not begun, or is over."""

_BODY_FOLDERS: Final = tuple(
    str(Path(folder))
    for package in ("langchain_core.runnables", "langchain_core.tools", "langgraph")
    if (spec := find_spec(package)) is not None
    for folder in spec.submodule_search_locations or ()
)
"""Where the functions are that call the bodies of chains, tools and graph nodes."""

_TASK: Final = _code(asyncio.Handle, "_run")
"""The frame below a task's own: what is under it is another task's, or of whoever runs the event loop."""


_AWAITABLES: Final = frozenset(
    {"anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}
)


def starting_manager() -> object:
    """Return the callback manager that is telling of a leaf's start, when called from the start callback."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in _STARTS:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None


def leaf_on_stack() -> Sequence[UUID]:
    """Return the runs of the leaf whose body is executing in this thread and task; none if it is no leaf's.

    Looks no further than to the innermost body. Several: a completion model's, for several prompts.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code in LEAF_BODIES:
            return _run_ids_in(frame)
        if code is _TASK or _calls_bodies(code.co_filename):
            return ()
        frame = frame.f_back
    return ()


def leaf_in_thread(thread_id: int) -> Sequence[UUID]:
    """Return the runs of the leaves whose bodies a thread is in, which may wait there for another thread."""
    frame = sys._current_frames().get(thread_id)
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return _leaves_among(frames)


def leaf_in_task(task: asyncio.Task[Any]) -> Sequence[UUID]:
    """Return the runs of the leaves whose bodies a task that is waiting waits in."""
    frames: list[FrameType] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        for kind in ("cr", "ag", "gi"):
            if (frame := getattr(waiting, f"{kind}_frame", None)) is not None:
                frames.insert(0, frame)
                name = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                waiting = getattr(waiting, name, None)
                break
        else:
            waiting = _hidden_in(waiting)
    return _leaves_among(frames)


def context_of(task: object) -> object:
    """Return the context in which a task runs; several may share one."""
    if (get_context := getattr(task, "get_context", None)) is not None:  # Python 3.12
        return get_context()
    return next((it for it in gc.get_referents(task) if isinstance(it, Context)), None)


def _hidden_in(awaitable: object) -> object:
    """Return the generator or coroutine in what `async for`, `anext` and `__await__` wait for.

    These objects of the interpreter's own show it to nobody but the garbage collector.
    """
    for it in gc.get_referents(awaitable):
        if inspect.isasyncgen(it) or inspect.iscoroutine(it) or type(it).__name__ in _AWAITABLES:
            return it
    return None


def is_streaming(model: object) -> bool:
    """Whether the body of a model's synchronous stream is on the stack of this thread.

    Where the model has no asynchronous one, LangChain reads it in threads of an executor.
    """
    body = _code(type(model), "_stream")
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is body and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


def _leaves_among(frames: Sequence[FrameType]) -> Sequence[UUID]:
    """Return the runs of the leaves whose bodies are among some frames, innermost first."""
    found: list[UUID] = []
    inner: FrameType | None = None
    for frame in frames:
        is_telling = inner is not None and inner.f_code.co_filename == _EVENTS_FILE
        if frame.f_code in _AROUND_BODIES and not is_telling:
            found += _run_ids_in(frame)
        inner = frame
    return found


def _run_ids_in(frame: FrameType) -> list[UUID]:
    known = frame.f_locals
    managers: Sequence[Any] = known.get("run_managers") or (known.get("run_manager"),)
    return [manager.run_id for manager in managers if manager is not None]


@lru_cache(maxsize=4096)
def _calls_bodies(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in _BODY_FOLDERS)


def add_configure_hook(hook: Any) -> None:
    """Have LangChain add `hook.get()` to every callback manager that it configures.

    It is LangChain's official way to add a handler to every run. The class says which handlers count as one
    of the kind: where there is one already, none is added.
    """
    tracers.register_configure_hook(hook, inheritable=True, handle_class=hook.handler_class)


def remove_configure_hook(hook: object) -> None:
    """Undo `add_configure_hook`, for which LangChain has no function."""
    hooks = tracers._configure_hooks
    hooks[:] = [entry for entry in hooks if entry[0] is not hook]


def starting_config() -> Mapping[str, Any] | None:
    """Return the config of the run that is starting, when called from its start callback.

    Walks up from the callback to the first LangChain function that has a config, and no further than
    LangChain's own code.

    Returns:
        The config in force (bindings and inherited values merged in), empty if there is none: a run started
        by hand. None if it cannot be seen: LangChain starts some runs in a task of their own (`abatch` of a
        chain, a completion model's `ainvoke`), or several from one list of configs (its `batch`).
    """
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        name: object = frame.f_globals.get("__name__")
        module = name if isinstance(name, str) else ""
        if not module.startswith(_CALLBACK_PACKAGES):
            package = module.partition(".")[0]
            if package not in _RUNNABLE_PACKAGES:
                return None if package == "asyncio" else {}
            if "config" in (local := frame.f_locals):
                config = local["config"]
                if isinstance(config, Mapping):
                    return cast("Mapping[str, Any]", config)
                return {} if config is None else None
        frame = frame.f_back
    return None


def body_config(run_id: UUID) -> Mapping[str, Any] | None:
    """Return the config of a run, when called from within that run's body.

    Args:
        run_id: The run whose config is wanted.

    Returns:
        Its config, or None when another run's body, or none, is executing.
    """
    manager = executing_run()
    if manager is None or manager.parent_run_id != run_id:
        return None
    return cast("Mapping[str, Any] | None", var_child_runnable_config.get())


def executing_run() -> BaseCallbackManager | None:
    """Return the callback manager of the run whose body is executing here.

    Its `parent_run_id` is that run.
    """
    config = var_child_runnable_config.get()
    callbacks = None if config is None else config.get("callbacks")
    return callbacks if isinstance(callbacks, BaseCallbackManager) else None


def configurable_of(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the `configurable` mapping of a config, empty if there is none."""
    configurable = None if config is None else config.get("configurable")
    return cast("Mapping[str, Any]", configurable) if isinstance(configurable, Mapping) else {}
