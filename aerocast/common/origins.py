"""Tells what a server's own pages send from what a page elsewhere makes a browser send (docs/security.md).

The server imports this module: the standard library only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from functools import lru_cache
from urllib.parse import urlsplit


def is_known_host(host: str, names: Container[str] = ()) -> bool:
    """Whether the header field `Host` names the loopback, or one of these names; only a browser must send it."""
    return not host or _is_loopback(_name(host)) or _name(host) in names


def is_own_origin(origin: str | None, host: str, names: Container[str] = ()) -> bool:
    """Whether the header field `Origin`, if there is one, is that of `Host`, or has one of these names."""
    authority = (origin or "").partition("://")[2]
    return origin is None or authority == host or _name(authority) in names


@lru_cache(256)
def _name(authority: str) -> str:
    """The host of `host:port`, empty if there is none."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


@lru_cache(256)
def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
