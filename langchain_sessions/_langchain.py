"""What LangChain knows about a run beyond what it tells its callbacks: the config it was called with.

LangChain passes a run's metadata to its callbacks, but not `configurable`, where `RunnableWithMessageHistory`
and LangGraph expect the conversation's id. Two places show it:

- `starting_config` reads the local variable `config` of the LangChain function that is starting the run. Only
  a run that has no id yet is worth the look (a few microseconds).
- `body_config` is the config of the run whose body is executing, through the context variable that LangChain
  itself uses to pass it on.

Both are read, nothing is patched. A missing answer costs an id, so contract tests watch both.

The body of a chat model, of a completion model and of a retriever is in no such variable. `LEAF_BODIES` are
the functions around these bodies, and `leaf_run_ids` reads from their frames whose body it is.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.callbacks import BaseCallbackManager
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
    """How far the body of a leaf run (a model's, a retriever's) extends to other tasks and threads.

    In the task or thread in which it was started, the frames tell. Another one that was started inside has a
    copy of the context, but so has one that a stream's consumer started between two chunks.
    """

    THROUGHOUT = "no consumer runs before it ends"
    UNTIL_IT_SPEAKS = "no consumer runs before the first token"
    NOWHERE = "the first token may reach the consumer untold"


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


def leaf_run_ids() -> Iterator[UUID]:
    """Yield the ids of the leaf runs whose bodies are executing in this thread and task, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in LEAF_BODIES:
            known = frame.f_locals
            managers: Sequence[Any] = known.get("run_managers") or (known.get("run_manager"),)
            yield from (manager.run_id for manager in managers if manager is not None)
        frame = frame.f_back


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


def is_in_leaf_function() -> bool:
    """Whether a function that starts and ends a leaf run is on the stack of this thread and task."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in LEAF_STARTS:
            return True
        frame = frame.f_back
    return False


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
