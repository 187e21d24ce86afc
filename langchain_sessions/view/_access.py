"""Who is asking: names, origins and tokens, as the web page and the collector look at them. Pure.

A page of somebody else's can point a name of its own at 127.0.0.1, and send to what is there and read it (DNS
rebinding). The request's `Host` then is that name, to which neither answers.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address


def host_name(host: str) -> str:
    """Take the name out of a `Host` header: `Example.com.:80` is `example.com`, `[::1]:80` is `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name = host if host.count(":") > 1 else host.partition(":")[0]
    return name.removesuffix(".").lower()


def is_address(name: str) -> bool:
    """Tell whether a host's name is a number."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Tell whether a host's name or address is this machine's own, which no other machine can reach."""
    return name == "localhost" or (is_address(name) and ip_address(name).is_loopback)


def is_same_origin(origin: str, host: str | None) -> bool:
    """Tell whether an `Origin` header is of the host that the request was sent to."""
    return origin.partition("://")[2] == host


def is_same(given: str, expected: str) -> bool:
    """Compare a secret in constant time."""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def is_bearer(authorization: str, token: str) -> bool:
    """Tell whether an `Authorization` header has the token."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and is_same(given.strip(), token)
