"""What is said to those who give an id where none is taken."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_OF_CALLS: Final = {
    "session_id": '"metadata": {"session_id": "abc"}',
    "conversation_id": '"metadata": {"conversation_id": "abc"}',
    "thread_id": '"configurable": {"thread_id": "abc"}',
    "user_id": '"metadata": {"session_id": "abc", "user_id": "ada"}',
}
"""What each call takes, and in which form."""


def takes_no_id(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function, which serves every conversation, tell where the id of one goes.

    A decorator, and not a parameter for whatever else is given, so that type checkers and `inspect` see the
    function's own signature.
    """
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def explaining(*args: P.args, **kwargs: P.kwargs) -> R:
        wrong = next((it for it in _OF_CALLS if it in kwargs), None)
        if wrong is None and any(isinstance(it, str) for it in args):
            wrong = "session_id"
        if wrong is not None:
            around = '"abc", user_id="ada"' if wrong == "user_id" else '"abc"'
            msg = (
                f"{name} takes no {wrong}, since one serves every conversation. Give it to each call, in its "
                f"config: {_OF_CALLS[wrong]}; or around the call: with langchain_sessions.session({around})"
            )
            raise TypeError(msg)
        return function(*args, **kwargs)

    return explaining
