"""`session()` blocks as they are entered and left: what is current, whatever order they end in.

A block attaches a context and, when it is left, makes the context before it current again. It keeps no
token: a token detached elsewhere repairs nothing. A generator that holds a block open between two items
leaves it in whatever order it is closed or collected in; so a block that is not the innermost is only marked,
and leaving a block steps over the marked ones around it. Thus no block is in force after it has ended.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context, attach, create_key, get_current

_KEY: Final = create_key("langchain-sessions-block")


class Block:
    """One entry into a `session()`."""

    __slots__ = ("before", "is_over", "owner")

    def __init__(self, owner: object, before: Context) -> None:
        self.owner = owner
        self.before = before
        self.is_over = False


def block_of(context: Context) -> Block | None:
    """Return the innermost block in a context."""
    block = context.get(_KEY)
    return block if isinstance(block, Block) else None


def enter(owner: object, values: dict[str, object]) -> None:
    """Make the current context with these values in it current."""
    before = get_current()
    attach(Context({**before, **values, _KEY: Block(owner, before)}))


def leave(owner: object) -> None:
    """Leave the innermost block of this owner; nothing happens in a context that is not inside one."""
    innermost = block = block_of(get_current())
    while block is not None and (block.owner is not owner or block.is_over):
        block = block_of(block.before)
    if innermost is None or block is None:
        return
    block.is_over = True
    context = get_current()
    while (current := block_of(context)) is not None and current.is_over:
        context = current.before
    if block is innermost:
        attach(context)
