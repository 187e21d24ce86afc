"""The web page: conversations in a browser, as HTML that needs no JavaScript.

`create_app` makes an ASGI application of a store; `langchain-sessions ui` serves it.
"""

from __future__ import annotations

from importlib import import_module

from langchain_sessions.view._extra import missing

try:
    for _needed in ("jinja2", "markdown_it", "starlette"):
        import_module(_needed)  # so that what is missing is said here, once
except ModuleNotFoundError as error:
    raise missing("the web page", error) from error

from langchain_sessions.view.web._app import create_app
from langchain_sessions.view.web._security import LOOPBACK, Access, make_token

__all__ = ["LOOPBACK", "Access", "create_app", "make_token"]
