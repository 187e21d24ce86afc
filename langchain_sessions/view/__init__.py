"""Conversations as people read them: renders what `langchain_sessions.store` describes, and nothing else."""

try:
    from langchain_sessions.view._terminal import sessions_table, transcript
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package != "rich":
        raise
    message = "the terminal view needs rich: pip install 'langchain-sessions[view]'"
    raise ImportError(message, name=package) from error

__all__ = ["sessions_table", "transcript"]
