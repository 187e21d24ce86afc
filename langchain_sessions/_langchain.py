"""What LangChain knows about a run beyond what it tells its callbacks: the config it was called with.

LangChain passes a run's metadata to its callbacks, but not `configurable`, where `RunnableWithMessageHistory`
and LangGraph expect the conversation's id. Two places show it:

- `starting_config` reads the local variable `config` of the LangChain function that is starting the run. Only
  a run that has no id yet is worth the look (a few microseconds).
- `body_config` is the config of the run whose body is executing, through the context variable that LangChain
  itself uses to pass it on.

Both are read, nothing is patched. A missing answer costs an id, so contract tests watch both.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers import context as tracers
from langsmith import get_current_run_tree

if TYPE_CHECKING:
    from types import FrameType
    from uuid import UUID

_CALLBACK_PACKAGES: Final = ("langchain_sessions.", "langchain_core.callbacks.", "openinference.")
"""Where the frames between a run's start and our callback live."""

_RUNNABLE_PACKAGES: Final = frozenset({"langchain_core", "langchain", "langchain_classic", "langgraph"})
"""Packages that call the config of a run `config`. In anybody else's code the name may mean anything."""


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


def langchain_parent(run_id: UUID) -> UUID | None:
    """Return the parent of a starting run as LangChain alone would tell it.

    While LangSmith traces, LangChain gives a run that is called in a `langsmith.traceable` function the
    function's id as its parent's, which no callback is told of. The parent is then the LangChain run in whose
    body the function is executing, if there is one.

    Args:
        run_id: The parent that LangChain has told.

    Returns:
        The run whose body is around, None if there is none, and what was told if it is no such function.
    """
    function = get_current_run_tree()
    if function is None or function.id != run_id:
        return run_id
    around = executing_run()
    if around is None or around.parent_run_id is None:
        return None
    return around.parent_run_id if str(around.parent_run_id) in function.dotted_order else run_id


def configurable_of(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the `configurable` mapping of a config, empty if there is none."""
    configurable = None if config is None else config.get("configurable")
    return cast("Mapping[str, Any]", configurable) if isinstance(configurable, Mapping) else {}
