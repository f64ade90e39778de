"""Where alerts go, from the environment; what cannot be used is refused where a process starts."""

import os
import re
import shlex
import shutil
from datetime import timedelta
from typing import get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from aerocast.alerts.channel import Channel
from aerocast.alerts.mail import Mail, Relay
from aerocast.alerts.program import Program
from aerocast.alerts.webhook import Webhook
from aerocast.common.errors import AeroCastError
from aerocast.contracts.alarms import KINDS, AlarmKind
from aerocast.storage.settings import Settings

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PAGE = "an http:// or https:// address without blanks"
_PORTS = {"smtp": 25, "smtps": 465}
_SHOWN = 80
_LEAST_SECRET = 16
SECRET = ("SECRET", "SMTP_PASSWORD")


class AlertSettings(BaseSettings):
    """`AEROCAST_ALERT_WEBHOOK`: an http or https address that gets each alert as JSON by POST, signed by
    `AEROCAST_ALERT_SECRET` if that is set.

    `AEROCAST_ALERT_EMAIL`: addresses, with commas between, by the relay `AEROCAST_ALERT_SMTP`
    (`smtp://[user@]host[:port]`, encrypted where it offers that, or `smtps://...`), with
    `AEROCAST_ALERT_SMTP_PASSWORD` and the sender `AEROCAST_ALERT_FROM`.

    `AEROCAST_ALERT_COMMAND`: a program with its arguments, run without a shell, that gets the JSON on its input.

    `AEROCAST_ALERT_KINDS`: only these, with commas between. `AEROCAST_ALERT_PATIENCE` (ISO 8601): how long the
    platform or the server may be silent; `AEROCAST_ALERT_DISK`: the share of the disk that should be free.
    """

    model_config = SettingsConfigDict(env_prefix="AEROCAST_ALERT_", env_ignore_empty=True)

    webhook: str = ""
    secret: str = ""
    email: str = ""
    smtp: str = "smtp://127.0.0.1:25"
    smtp_password: str = ""
    sender: str = Field(default="", validation_alias="AEROCAST_ALERT_FROM")
    command: str = ""
    kinds: str = ""
    patience: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(minutes=1), le=timedelta(days=7))
    disk: float = Field(default=0.05, ge=0, lt=1)

    @property
    def kind_names(self) -> frozenset[AlarmKind]:
        """Which conditions people are told of. Raises AeroCastError for one that there is not."""
        names = [each.strip() for each in self.kinds.split(",") if each.strip()]
        for name in names:
            if name not in KINDS:
                raise _refusal("KINDS", name, f"some of {', '.join(get_args(AlarmKind))}, with commas between")
        return frozenset(kind for kind in KINDS if not names or kind in names)


def read_settings() -> AlertSettings:
    """The settings of this process. Raises AeroCastError that names the variable, its value and the rule."""
    try:
        return AlertSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper().removeprefix("AEROCAST_ALERT_")
        value = os.environ.get(f"AEROCAST_ALERT_{name}", str(first["input"]))
        raise _refusal(name, value, first["msg"]) from None


def channels(settings: AlertSettings) -> tuple[Channel, ...]:
    """The channels that are set, each usable as far as that can be known without sending; the kinds are looked at, too.

    Raises:
        AeroCastError: one that is not; with the variable, its value and the rule.
    """
    _ = settings.kind_names
    if settings.secret and not settings.webhook:
        raise AeroCastError("AEROCAST_ALERT_SECRET is set, and signs nothing: set AEROCAST_ALERT_WEBHOOK, too")
    ways: list[Channel] = []
    if settings.webhook:
        ways.append(_webhook(settings))
    if settings.email:
        ways.append(_mail(settings))
    if settings.command:
        ways.append(_program(settings.command))
    return tuple(ways)


def url_of(settings: Settings) -> str:
    """Where links lead. Raises AeroCastError: it is no address of a page."""
    name = "AEROCAST_URL" if settings.url else "AEROCAST_SERVER"
    parts = _address(name, settings.people_url, _PAGE)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refusal(name, settings.people_url, _PAGE)
    return settings.people_url


def _webhook(settings: AlertSettings) -> Webhook:
    rule = "an http:// or https:// address without blanks, user or password"
    parts = _address("WEBHOOK", settings.webhook, rule)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise _refusal("WEBHOOK", settings.webhook, rule)
    if settings.secret and len(settings.secret) < _LEAST_SECRET:
        raise _refusal("SECRET", settings.secret, f"{_LEAST_SECRET} characters or more")
    return Webhook(settings.webhook, settings.secret.encode())


def _mail(settings: AlertSettings) -> Mail:
    rule = "addresses such as ops@my-site.example, with commas between"
    receivers = tuple(each.strip() for each in settings.email.split(","))
    for each in receivers:
        if not _ADDRESS.fullmatch(each):
            raise _refusal("EMAIL", each, rule)
    sender = settings.sender or f"aerocast@{receivers[0].partition('@')[2]}"
    if not _ADDRESS.fullmatch(sender):
        raise _refusal("FROM", sender, "one address such as aerocast@my-site.example")
    rule = "smtp://[user@]host[:port] or smtps://[user@]host[:port]; the password is AEROCAST_ALERT_SMTP_PASSWORD"
    parts = _address("SMTP", settings.smtp, rule)
    odd = parts.path.strip("/") or parts.query or parts.fragment or parts.password is not None
    if parts.scheme not in _PORTS or not parts.hostname or odd:
        raise _refusal("SMTP", settings.smtp, rule)
    if bool(parts.username) != bool(settings.smtp_password):
        raise _refusal("SMTP", settings.smtp, "a user where AEROCAST_ALERT_SMTP_PASSWORD is set, and none without it")
    relay = Relay(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        parts.username or "",
        settings.smtp_password,
        is_encrypted=parts.scheme == "smtps",
    )
    return Mail(receivers, sender, relay)


def _program(command: str) -> Program:
    rule = "a program that can be run, with its arguments as a shell would split them"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _refusal("COMMAND", command, f"{rule}: {error}") from None
    if not words or "\0" in command or (program := shutil.which(words[0])) is None:
        raise _refusal("COMMAND", command, rule)
    return Program((program, *words[1:]))


def _address(name: str, text: str, rule: str) -> SplitResult:
    """The parts of an address whose port is one. Raises AeroCastError."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _refusal(name, text, f"{rule}: {error}") from None
    if not text.isascii() or any(each.isspace() or not each.isprintable() for each in text):
        raise _refusal(name, text, rule)
    return parts


def _refusal(name: str, value: str, rule: str) -> AeroCastError:
    text = "..." if name in SECRET else repr(value[:_SHOWN])
    full = name if name.startswith("AEROCAST_") else f"AEROCAST_ALERT_{name}"
    return AeroCastError(f"{full}={text} cannot be used; allowed: {' '.join(rule.split())}")
