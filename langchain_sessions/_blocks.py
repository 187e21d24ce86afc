"""`session()` blocks as they are entered and left, whatever order they end in.

A block attaches a context and, when it is left, makes the one before it current again. It keeps no token: a
token that is detached elsewhere repairs nothing. A generator that holds a block open between two items may
leave it in any order, with contexts of others on top of it; then only the block's own values are taken out.
Somebody else's token may still bring such a context back, so readers pass over blocks that are over
(`in_force`).

A block is over in the task or thread that left it. A task which was started inside it has a copy of the
context, and stays in the session for as long as it runs.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, create_key, get_current

from langchain_sessions._overlay import attached

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = create_key("langchain-sessions-block")


class Block:
    """One entry into a `session()`."""

    __slots__ = ("before", "context", "left_in", "owner", "values")

    def __init__(self, owner: object, values: Mapping[str, object]) -> None:
        self.owner = owner
        self.before = attached()
        self.values = {**values, _KEY: self}
        self.context = Context({**get_current(), **self.values})
        self.left_in: weakref.ref[Any] | None = None

    def is_over(self) -> bool:
        """Whether the block was left, here."""
        return self.left_in is not None and self.left_in() is here()

    def is_on_top_of(self, context: Context) -> bool:
        """Whether a context's values are still this block's."""
        return all(context.get(key) is value for key, value in self.values.items())


def block_of(context: Context) -> Block | None:
    """Return the innermost block in a context."""
    block = context.get(_KEY)
    return block if isinstance(block, Block) else None


def in_force(context: Context) -> Context:
    """Return a context as readers should see it: without the blocks on top of it that are over."""
    while (block := block_of(context)) is not None and block.is_over() and block.is_on_top_of(context):
        context = block.before
    return context


def is_unchanged(key: str, around: Context, before: Context) -> bool:
    """Whether a context holds the value of one before it: no block, and nobody else, has set it since."""
    return around.get(key) is before.get(key) and block_of(around) is block_of(before)


def enter(owner: object, values: Mapping[str, object]) -> None:
    """Make the current context with these values in it current."""
    attach(Block(owner, values).context)


def leave(owner: object) -> None:
    """Leave the innermost block of this owner; nothing happens in a context that is not inside one."""
    current = attached()
    block = block_of(current)
    while block is not None and (block.owner is not owner or block.is_over()):
        block = block_of(block.before)
    if block is None:
        return
    block.left_in = weakref.ref(here())
    if current is block.context:
        attach(in_force(block.before))
    elif block.is_on_top_of(current):  # with contexts of others around it, which stay
        outside = {key: value for key, value in current.items() if key not in block.values}
        before = {key: block.before[key] for key in block.values if key in block.before}
        attach(in_force(Context({**outside, **before})))


def here() -> object:
    """Return the task, or the thread where there is none, that is executing."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop is running in this thread
        task = None
    return threading.current_thread() if task is None else task
