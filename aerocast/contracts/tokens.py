"""Tokens by which clients of the server show what they may do: `aerocast token` writes them, the server reads them.

The home keeps no secret, only its SHA-256. A slow hash would protect a secret that people choose; this one has 256 bits
of chance, which nobody finds by trying, and a fast hash costs a request nothing.
The server imports this module: msgspec and the standard library only.
"""

import hashlib
import re
import secrets
from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from aerocast.common.errors import AeroCastError
from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each allows what those before it allow
FILE = "tokens.json"
MOST = 100  # every request with a token is compared to each
PREFIX = "aerocast_"  # by which programs that look for secrets in code know one
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class Token(Struct, frozen=True):
    """One client's token: `digest` is the SHA-256 of its secret, in hexadecimal; without `expires_at` it stays."""

    name: str
    scope: Scope
    digest: str
    created_at: Instant
    expires_at: Instant | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether it is enough for what needs this scope."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Tokens(Struct, frozen=True):
    """All tokens of a home, in the order in which they were made."""

    tokens: tuple[Token, ...] = ()


def document(home: Home) -> Document[Tokens]:
    """Readable for its owner only."""
    return Document(store_of(home), FILE, Tokens, "list of tokens", indent=1, private=True)


def digest(secret: bytes) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret).hexdigest()


def create(
    home: Home, scope: Scope, now: datetime, name: str = "", expires_at: datetime | None = None
) -> tuple[Token, str]:
    """A new token and its secret, which nothing keeps. Without a name it is called by its scope and a number.

    Raises:
        AeroCastError: the name is taken or not allowed, there are too many tokens, or the home fails.
    """
    if name and not _NAME.fullmatch(name):
        raise AeroCastError(f"--name {name[:60]!r} is not allowed: letters a-z, digits and ._-, at most 40 of them")
    secret = PREFIX + secrets.token_urlsafe(32)
    while True:
        own, stamp = document(home).read_stamped()
        tokens = own.tokens if own else ()
        names = {token.name for token in tokens}
        if name in names:
            raise AeroCastError(f"there is a token {name} already; `aerocast token revoke {name}` ends it")
        if len(tokens) >= MOST:
            raise AeroCastError(f"there are {len(tokens)} tokens, as many as there may be; revoke some")
        free = name or next(each for number in range(1, MOST + 2) if (each := f"{scope}-{number}") not in names)
        token = Token(free, scope, digest(secret.encode()), now, expires_at)
        if document(home).swap(Tokens((*tokens, token)), stamp):
            return token, secret


def revoke(home: Home, name: str) -> Tokens:
    """Ends a token; what is left. Raises AeroCastError: there is none of this name, or the home fails."""
    while True:
        own, stamp = document(home).read_stamped()
        tokens = own.tokens if own else ()
        if own is None or name not in {token.name for token in tokens}:
            names = ", ".join(token.name for token in tokens) or "none"
            raise AeroCastError(f"there is no token {name[:60]!r}; there are: {names}")
        rest = Tokens(tuple(token for token in tokens if token.name != name))
        if document(home).swap(rest, stamp):
            return rest
