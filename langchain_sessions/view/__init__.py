"""Conversations as people read them: renders what `langchain_sessions.store` describes, and nothing else.

`notebook` needs no extra; the terminal, the command line and the web page need `langchain-sessions[view]`.
"""
