"""Who asks: the tokens that this server knows, and what a request may do that shows one of them, or none.

Anybody on loopback may read, and write as long as there is no token; from elsewhere nobody may anything without one.
`AEROCAST_TOKEN` is one more token, with all scopes. A list that cannot be read opens nothing.
"""

import hmac
import logging
from base64 import b64decode
from binascii import Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from aerocast.contracts import tokens
from aerocast.contracts.tokens import Scope, Token, Tokens
from aerocast.storage.home import Home
from serving.rates import Buckets
from serving.slots import NEVER, ReloadSlot

log = logging.getLogger("aerocast.serving")

ENVIRONMENT = "AEROCAST_TOKEN"


@dataclass(frozen=True, slots=True)
class Access:
    """`token` is one more token, of scope admin, if there is one; `local`: bound to loopback.

    `hosts` are further names by which people reach the server, such as those of a proxy in front of it. `reads` and
    `writes` are how many requests a minute one client may send; 0: as many as it likes.
    """

    token: str = ""
    local: bool = True
    hosts: frozenset[str] = frozenset()
    reads: int = 0
    writes: int = 0


class Client(NamedTuple):
    """Who sends a request: the name of its token, empty without one, and what it may do; None: nothing."""

    name: str
    scope: Scope | None

    def may(self, scope: Scope) -> bool:
        return self.scope is not None and tokens.SCOPES.index(scope) <= tokens.SCOPES.index(self.scope)


class Clients:
    """Before the first `look` it knows of no token but that of the environment, and opens nothing."""

    def __init__(self, home: Home, access: Access) -> None:
        self.access = access
        self.reads, self.writes = Buckets(access.reads), Buckets(access.writes)
        self.slot: ReloadSlot[Tokens] = ReloadSlot(tokens.FILE, last_stamp=NEVER)
        self._document = tokens.document(home)
        self._own: tuple[Token, ...] = ()
        if access.token:
            now = datetime.now(UTC)
            self._own = (Token(ENVIRONMENT, "admin", tokens.digest(access.token.encode()), now),)
        self._tokens: Sequence[Token] = self._own
        self._has_warned = False
        self._anonymous = Client("", "read" if access.local else None)

    def look(self) -> None:
        """Looks up the home's tokens; never raises for what lies on disk. Not for the event loop."""
        self.slot.look(self._document.stamp, self._document.read)
        of_home = self.slot.served.tokens if self.slot.served else ()
        self._tokens = (*self._own, *of_home)
        is_open = self.access.local and not self._tokens and self.slot.error is None
        self._anonymous = Client("", "admin" if is_open else "read" if self.access.local else None)
        if not (self.access.local or self._tokens or self._has_warned):
            self._has_warned = True
            log.warning("beyond loopback all but /health needs a token, and there is none: `aerocast token create`")

    @property
    def has_tokens(self) -> bool:
        return bool(self._tokens)

    def identify(self, authorization: str) -> Client:
        """Who sends this header field, empty without one. Each token is compared, in the same time whatever is sent."""
        if not authorization:
            return self._anonymous
        sent, match = tokens.digest(_secret(authorization)), None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, sent):
                match = token
        if match is None or (match.expires_at and match.is_expired(datetime.now(UTC))):
            return self._anonymous
        return Client(match.name, match.scope)


def _secret(authorization: str) -> bytes:
    """What is sent as a token, or by a browser as the password of any user, in whatever encoding."""
    scheme, _, sent = authorization.partition(" ")
    secret = sent.strip().encode("latin-1", errors="replace")
    if scheme.lower() == "basic":
        try:
            return b64decode(secret, validate=True).partition(b":")[2]
        except Error:
            return b""
    return secret if scheme.lower() == "bearer" else b""
