"""The web page: conversations in a browser, as HTML that needs no JavaScript.

`create_app` makes an ASGI application of a store; `langchain-sessions ui` serves it.
"""

from __future__ import annotations

from importlib import import_module

try:
    for _needed in ("jinja2", "markdown_it", "starlette"):
        import_module(_needed)  # so that what is missing is said here, once
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    message = f"the web page needs {package}: pip install 'langchain-sessions[view]'"
    raise ImportError(message, name=package) from error

from langchain_sessions.view.web._app import create_app
from langchain_sessions.view.web._security import LOOPBACK, Access, make_token

__all__ = ["LOOPBACK", "Access", "create_app", "make_token"]
