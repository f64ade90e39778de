"""Sends alerts as JSON to an http or https address."""

import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, ClassVar
from urllib.parse import urlsplit

import msgspec

from aerocast.alerts.alert import Alert
from aerocast.alerts.channel import TIMEOUT
from aerocast.common.errors import AeroCastError
from aerocast.common.words import printable

SIGNATURE = "X-AeroCast-Signature"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: a person chose this address, and no other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


@dataclass(frozen=True, slots=True)
class Webhook:
    """`POST <url>` with the alert, and with `secret` the HMAC-SHA256 of the body in hexadecimal."""

    url: str = field(repr=False)  # some hold a secret in their path
    secret: bytes = field(default=b"", repr=False)
    timeout: float = TIMEOUT
    name: ClassVar[str] = "webhook"

    def send(self, alert: Alert) -> None:
        """Any 2xx is a yes. Raises AeroCastError."""
        body = msgspec.json.encode(alert)
        headers = {"Content-Type": "application/json", "User-Agent": "aerocast", "Idempotency-Key": alert.id}
        if self.secret:
            headers[SIGNATURE] = f"sha256={hmac.new(self.secret, body, hashlib.sha256).hexdigest()}"
        request = urllib.request.Request(self.url, body, headers, method="POST")
        host = urlsplit(self.url).hostname
        try:
            with _OPENER.open(request, timeout=self.timeout):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            raise AeroCastError(f"{host} answered {error.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise AeroCastError(f"{host} took nothing: {printable(str(reason) or type(error).__name__, 200)}") from None
