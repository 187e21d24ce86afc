"""`python -m langchain_sessions`, and the script `langchain-sessions`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with 0 for success, 1 for a failure and 2 for wrong usage.
    """
    try:
        from langchain_sessions.view.cli import cli
    except ImportError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"Error: {error}")
    cli(prog_name="langchain-sessions")


if __name__ == "__main__":
    main()
