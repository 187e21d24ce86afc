"""Sessions in a Phoenix server. Nothing is imported here: `_store` needs the extra `phoenix`."""
