"""What stacks tell of LangChain's runs: whose body a thread or a task is in.

A *leaf* is a run of a chat model, a completion model or a retriever. LangChain has its body in no context
variable, but calls it by functions of its own, `LEAF_BODIES`, which have the run's manager in a local
variable. Frames are read, nothing is patched; contract tests watch the names.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.retrievers import BaseRetriever

if TYPE_CHECKING:
    from types import CodeType, FrameType
    from uuid import UUID


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

_TASK: Final = _code(asyncio.Handle, "_run")
"""The frame below a task's own: what is under it is another task's, or of whoever runs the event loop."""

_AWAITABLES: Final = frozenset(
    {"anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}
)

# A namespace package: a folder of the same name in somebody's project belongs to it, too.
_LANGGRAPH: Final = "langgraph.pregel"


def _folder(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parents[module == _LANGGRAPH]


@cache
def _is_of_bodies(file: str) -> bool:
    """Whether the functions in a file call the bodies of chains, tools and graph nodes."""
    return _is_in(file, "langchain_core.runnables", "langchain_core.tools", _LANGGRAPH)


@cache
def _is_langchains(file: str) -> bool:
    return _is_in(file, "langchain_core", "langchain", _LANGGRAPH)


def _is_in(file: str, *modules: str) -> bool:
    folders = [folder for module in modules if (folder := _folder(module)) is not None]
    return any(Path(file).is_relative_to(folder) for folder in folders)


def starting_manager() -> object:
    """Return the callback manager that is telling of a leaf's start, when called from the start callback."""
    for frame in _outward(sys._getframe(1)):
        if frame.f_code in _STARTS:
            return frame.f_locals.get("self")
    return None


def leaf_on_stack(*, is_starting: bool = False) -> Sequence[UUID]:
    """Return the runs of the leaf whose body is executing in this thread and task; none if it is no leaf's.

    Looks no further than to the innermost body. Several: a completion model's, for several prompts.

    Args:
        is_starting: Whether it is a run's start callback that asks: LangChain's functions around that are
            this run's, and not in its body.
    """
    frame = _caller_of_start() if is_starting else sys._getframe(1)
    outermost = _outermost_frame()
    while frame is not None:
        code = frame.f_code
        if code in LEAF_BODIES and (ids := _run_ids_in(frame)):
            return ids
        if _is_of_bodies(code.co_filename) or frame is outermost or code is _TASK:
            return ()
        frame = frame.f_back
    return ()


def _caller_of_start() -> FrameType | None:
    """Return the frame that called a run, from its start callback: the first that is not LangChain's."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != _EVENTS_FILE:
        frame = frame.f_back
    while frame is not None and _is_langchains(frame.f_code.co_filename):
        if frame.f_code in LEAF_BODIES and _run_ids_in(frame):
            return frame
        frame = frame.f_back
    return frame


def _outermost_frame() -> FrameType | None:
    """Return the frame of the current task's own coroutine: what is under it is not the task's."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop is running in this thread
        return None
    return None if task is None else getattr(task.get_coro(), "cr_frame", None)


def leaf_in_thread(thread_id: int) -> Sequence[UUID]:
    """Return the runs of the leaves whose bodies a thread is in, which may wait there for another thread."""
    return _leaves_among(list(_outward(sys._current_frames().get(thread_id))))  # at once: it goes on


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


def models_on_stack() -> Sequence[object]:
    """Return the models whose synchronous stream is being read in this thread.

    Where a model has no asynchronous one, LangChain reads it in threads of an executor.
    """
    frames = _outward(sys._getframe(1))
    return [frame.f_locals.get("self") for frame in frames if frame.f_code.co_name == "_stream"]


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


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
