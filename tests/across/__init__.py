"""Conversations that cross processes: the programs at the far end, and what the tests of them share."""
