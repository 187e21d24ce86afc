"""The attributes of our own."""

from __future__ import annotations

from typing import Final

INPUT_ORIGINAL: Final = "langchain_sessions.input.original"
"""The JSON that OpenInference wrote as `input.value`."""

OUTPUT_ORIGINAL: Final = "langchain_sessions.output.original"
"""The JSON that OpenInference wrote as `output.value`."""

ENCLOSING: Final = "langchain_sessions.enclosing"
"""True on a span of another library to which the turn inside was written (`SessionPolicy.stamp_enclosing`).
It shows that turn's session, and lends it to nothing else that happens in it."""
