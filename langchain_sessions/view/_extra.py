"""What is said when a package of the extra `view` is not installed."""

from __future__ import annotations


def missing(what: str, error: ImportError) -> ImportError:
    """Make the error that says what needs which package, and how to install it."""
    package = (error.name or "").partition(".")[0]
    return ImportError(f"{what} needs {package}: pip install 'langchain-sessions[view]'", name=package)
