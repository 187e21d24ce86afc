"""Templates: how they are found, and how they write numbers, times and names."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from langchain_sessions.view import _annotated, _plain
from langchain_sessions.view.web import _charts, _links
from langchain_sessions.view.web._query import PERIODS, SORTS

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

_MARKS: Final = re.compile(r"[*_~]{2,}|`+|^\s*(?:#{1,6}|>|[-*+])\s|^[\s|:-]+$|\|", re.MULTILINE)
"""What markdown makes of bold, code, headings, quotes, lists and tables."""


def _static() -> dict[str, tuple[bytes, str]]:
    """The static files, by name, with their types. Only what is in here can be asked for."""
    folder = resources.files("langchain_sessions.view.web") / "static"
    files = (it for it in folder.iterdir() if it.name.rpartition(".")[2] in _TYPES)
    return {it.name: (it.read_bytes(), _TYPES[it.name.rpartition(".")[2]]) for it in files}


STATIC: Final = _static()

VERSION: Final = sha256(b"".join(STATIC[name][0] for name in sorted(STATIC))).hexdigest()[:12]
"""Part of the addresses of the static files, so that browsers may keep them for ever."""


def page(template: str, **values: Any) -> str:
    """Render a template."""
    return _environment.get_template(template).render(**values)


def message(title: str, text: str, **values: Any) -> str:
    """Render a page that says one thing."""
    return page("message.html", title=title, text=text, **values)


def ago(nanoseconds: int) -> str:
    """Write how long ago something was."""
    return _plain.ago(nanoseconds, time.time_ns())


def clock(nanoseconds: int) -> str:
    """Write a point in time to the second."""
    return f"{_plain.day(nanoseconds)} {_plain.clock(nanoseconds)} UTC"


def iso(nanoseconds: int) -> str:
    """Write a point in time for programs."""
    return f"{_plain.day(nanoseconds)}T{_plain.clock(nanoseconds)}Z"


def size(characters: int) -> str:
    """Write how long a text is."""
    return f"{_plain.compact(characters)} characters"


def teaser(text: str, most: int = 160) -> str:
    """Write the beginning of an answer in one line, without the marks of markdown."""
    return _plain.beginning(_MARKS.sub("", text), most)


def _make() -> Environment:
    environment = Environment(
        loader=PackageLoader("langchain_sessions.view.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Any] = {
        "ago": ago,
        "annotation": _annotated.in_full,
        "clock": clock,
        "counted": _plain.counted,
        "day": _charts.day_name,
        "duration": _plain.duration,
        "iso": iso,
        "money": _plain.money,
        "name": _plain.beginning,
        "short": _plain.compact,
        "size": size,
        "teaser": teaser,
        "thoughts": _annotated.thoughts,
    }
    environment.filters.update(filters)
    values: dict[str, Any] = {
        "PERIODS": PERIODS,
        "SORTS": SORTS,
        "VERSION": VERSION,
        "address": _links.address,
        "attribute_address": _links.attribute_address,
        "row_id": _links.row_id,
        "session_address": _links.session_address,
        "span_address": _links.span_address,
        "text_address": _links.text_address,
        "trace_address": _links.trace_address,
        "turn_address": _links.turn_address,
        "turn_anchor": _links.turn_anchor,
    }
    environment.globals.update(values)
    return environment


_environment: Final = _make()
