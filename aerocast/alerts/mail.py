"""Sends alerts as e-mail by a relay."""

import logging
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from ipaddress import ip_address
from typing import ClassVar

from aerocast.alerts.alert import Alert
from aerocast.alerts.channel import TIMEOUT
from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_minute
from aerocast.common.words import printable

log = logging.getLogger("aerocast.alerts")


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail server that takes our mail; `is_encrypted` from the first byte, else as soon as it offers that."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to all `receivers`."""

    receivers: tuple[str, ...]
    sender: str
    relay: Relay
    timeout: float = TIMEOUT
    name: ClassVar[str] = "email"

    def send(self, alert: Alert) -> None:
        """The relay has taken it for every receiver. Raises AeroCastError."""
        relay, message = self.relay, mail_of(alert, self.sender, self.receivers)
        try:
            smtp = self._connect()
        except (OSError, smtplib.SMTPException) as error:
            raise AeroCastError(f"{relay.host} took nothing: {printable(_reason(error), 200)}") from None
        try:
            if not relay.is_encrypted and smtp.ehlo()[0] == 250 and smtp.has_extn("starttls"):
                smtp.starttls(context=_context(relay.host))
            elif relay.user and not relay.is_encrypted and not _is_loopback(relay.host):
                raise AeroCastError(f"{relay.host} offers no encryption: it is not told a password")
            if relay.user:
                smtp.login(relay.user, relay.password)
            refused = smtp.send_message(message, self.sender, self.receivers)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise AeroCastError(f"{relay.host} took nothing: {printable(_reason(error), 200)}") from None
        finally:
            with suppress(OSError, smtplib.SMTPException):  # what it says to a farewell changes nothing
                smtp.quit()
            smtp.close()
        if refused:  # the others have it, and a repeat would be one for them
            log.warning("%s refused the receivers %s", relay.host, printable(", ".join(refused), 200))

    def _connect(self) -> smtplib.SMTP:
        relay = self.relay
        if relay.is_encrypted:
            return smtplib.SMTP_SSL(relay.host, relay.port, timeout=self.timeout, context=_context(relay.host))
        return smtplib.SMTP(relay.host, relay.port, timeout=self.timeout)


def mail_of(alert: Alert, sender: str, receivers: tuple[str, ...]) -> EmailMessage:
    """The message; one that is sent twice has the same Message-ID. No text of a feed begins a line of the head."""
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(receivers)
    message["Subject"] = f"[AeroCast] {printable(alert.title, 160)}"
    message["Date"] = format_datetime(alert.over_at or alert.opened_at)
    message["Message-ID"] = f"<{alert.id}@{sender.partition('@')[2]}>"
    message["References"] = f"<{alert.alarm}@{sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    times = f"Since {to_minute(alert.opened_at)}" + (f", over at {to_minute(alert.over_at)}" if alert.over_at else "")
    lines = [
        printable(alert.sentence),
        "",
        times,
        alert.link,
        "",
        f"AeroCast at {alert.host}, told by the {alert.judge}",
    ]
    message.set_content("\n".join(lines) + "\n")
    return message


def _context(host: str) -> ssl.SSLContext:
    """Certificates are checked, but for a relay on this machine, which has one of its own making."""
    context = ssl.create_default_context()
    if _is_loopback(host):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {', '.join(error.recipients)}"
    return str(error) or type(error).__name__
