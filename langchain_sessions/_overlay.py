"""The overlay on OpenTelemetry's runtime context: whoever asks for the current context sees the run's.

An object that OpenTelemetry stores contexts in, and that passes `attach` and `detach` on untouched. Only what
`get_current` returns may differ: inside a run it is what `look_with` was given a function for. Since nothing
is attached, nothing can be left attached.

Two ways to switch it on: `switch_on`, or OpenTelemetry's own plug-in point, `OTEL_PYTHON_CONTEXT`. The
latter loads this module while `opentelemetry.context` itself is still being imported, so it imports nothing
that needs that package complete. It is the one module that touches OpenTelemetry's private names for the
runtime context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from opentelemetry import context as context_api
from opentelemetry.context.context import Context, _RuntimeContext
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

Look: TypeAlias = "Callable[[Context], Context]"
"""Takes the context that is attached here, and returns the one that is in force here."""

_look: Look | None = None
"""None until there can be runs at all."""

_overlays: Final[list[OverlayContext]] = []
"""The one that is on, if any, also where somebody has wrapped it."""


class OverlayContext(_RuntimeContext):
    """A runtime context that shows the executing run on top of another runtime context.

    Args:
        inner: Where contexts are attached; by default OpenTelemetry's usual place.
    """

    def __init__(self, inner: _RuntimeContext | None = None) -> None:
        self.inner: _RuntimeContext = ContextVarsRuntimeContext() if inner is None else inner
        self.is_resting = False
        _overlays.append(self)

    def attach(self, context: Context) -> Token[Context]:
        """Attach a context, as if there were no overlay."""
        return self.inner.attach(context)

    def get_current(self) -> Context:
        """Return the context in force here: the executing run's, unless one was attached inside the run."""
        context = self.inner.get_current()
        return context if _look is None or self.is_resting else _look(context)

    def detach(self, token: Token[Context]) -> None:
        """Detach a context, as if there were no overlay."""
        self.inner.detach(token)


def look_with(look: Look) -> None:
    """Set what finds the context in force."""
    global _look
    _look = look


def attached() -> Context:
    """Return the context that is attached here: what `get_current` returns without an overlay."""
    return _overlays[-1].inner.get_current() if _overlays else context_api.get_current()


def is_on() -> bool:
    """Whether the current context shows the executing run."""
    return bool(_overlays)


def switch_on() -> OverlayContext | None:
    """Put the overlay on; contexts that are attached stay so.

    Returns:
        What `switch_off` takes, or None if it was on already, through `OTEL_PYTHON_CONTEXT` for instance.
    """
    if is_on():
        return None
    overlay = OverlayContext(context_api._RUNTIME_CONTEXT)
    context_api._RUNTIME_CONTEXT = overlay
    return overlay


def switch_off(overlay: OverlayContext) -> None:
    """Take the overlay off; where somebody has wrapped it meanwhile, it stays and shows nothing."""
    _overlays.remove(overlay)
    overlay.is_resting = True
    if context_api._RUNTIME_CONTEXT is overlay:
        context_api._RUNTIME_CONTEXT = overlay.inner
