"""How often one client may ask: a bucket for each, that fills with time and gives one request at a time.

Litestar's own limit counts in fixed windows, and costs more than most requests (docs/decisions/062).
"""

import ipaddress
from collections import OrderedDict

MOST_CLIENTS = 10_000  # above it who was silent for longest is forgotten
MINUTE = 60.0


class Buckets:
    """`most` requests a minute for each client, and as many at once after a minute of silence; 0: no limit."""

    def __init__(self, most: int) -> None:
        self.most, self._rate = most, most / MINUTE
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """0 if the client may ask now, else in how many seconds. `now`: of a clock that never goes back."""
        if not self.most:
            return 0.0
        level, at = self._levels.pop(client, (float(self.most), now))
        level = min(float(self.most), level + (now - at) * self._rate)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate
        self._levels[client] = (level if wait else level - 1, now)
        if len(self._levels) > MOST_CLIENTS:
            self._levels.popitem(last=False)
        return wait


def place_of(address: str) -> str:
    """By what a client without a token is known: of IPv6 addresses one has as many as they like, but one network."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
