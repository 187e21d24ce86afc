"""A lighter record of a run.

LangChain's tracers describe a run by LangSmith's `RunTree`: a pydantic model of some forty fields and two
validators, made for LangSmith's API. Nobody here sends it there, and making it is a sixth of what tracing
costs (`benchmarks/overhead.py`). LangChain's own functions go on making the record; they are only given
another class to make it from.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_core.tracers import BaseTracer, LangChainTracer

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_RUN: str = "Run"
"""The global name by which LangChain's tracers make a run."""


class RunRecord:
    """What LangChain's tracers and OpenInference ask of a run, with the defaults of `RunTree`."""

    def __init__(self, **values: Any) -> None:
        self.parent_run_id = self.error = self.end_time = self.serialized = None
        self.__dict__.update(values)
        self.name: str = self.__dict__.get("name") or _name_in(self.serialized)
        self.inputs: dict[str, Any] = self.__dict__.get("inputs") or {}
        self.outputs: dict[str, Any] = self.__dict__.get("outputs") or {}
        self.extra: dict[str, Any] = self.__dict__.get("extra") or {}
        self.events: list[dict[str, Any]] = self.__dict__.get("events") or []
        self.tags: list[str] = self.__dict__.get("tags") or []
        self.child_runs: list[Any] = self.__dict__.get("child_runs") or []


def recorded(function: _Function) -> _Function:
    """Return a function of LangChain's that makes our record where the original makes a `RunTree`.

    The code is the installed version's own; only the name `Run` means something else in it.

    Raises:
        TypeError: If it is not a plain function that knows this name.
    """
    plain = cast("FunctionType", function)
    if not isinstance(function, FunctionType) or _RUN not in plain.__code__.co_names:
        msg = f"{function!r} does not make a Run; see langchain_sessions/_records.py"
        raise TypeError(msg)
    namespace = {**plain.__globals__, _RUN: RunRecord}
    copy = FunctionType(plain.__code__, namespace, plain.__name__, plain.__defaults__, plain.__closure__)
    copy.__kwdefaults__ = plain.__kwdefaults__
    copy.__doc__ = plain.__doc__
    return cast("_Function", copy)


class LightRecords:
    """For a tracer: the functions that make a run, making our record."""

    _create_chain_run = recorded(BaseTracer._create_chain_run)
    _create_llm_run = recorded(BaseTracer._create_llm_run)
    _create_tool_run = recorded(BaseTracer._create_tool_run)
    _create_retrieval_run = recorded(BaseTracer._create_retrieval_run)
    on_chat_model_start = recorded(LangChainTracer.on_chat_model_start)  # the one that OpenInference calls


def _name_in(serialized: Any) -> str:
    if serialized:
        if serialized.get("name"):
            return serialized["name"]
        if serialized.get("id"):
            return serialized["id"][-1]
    return "Unnamed"
