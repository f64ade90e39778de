"""Settings of alerts: which channels they make, and how what cannot be used is refused."""

import pytest

from aerocast.alerts.mail import Mail
from aerocast.alerts.program import Program
from aerocast.alerts.settings import channels, read_settings, url_of
from aerocast.alerts.webhook import Webhook
from aerocast.common.errors import AeroCastError
from aerocast.contracts.alarms import KINDS
from aerocast.storage.settings import Settings

HOOK, MAIL = "https://hooks.my-site.example/x", "ops@my-site.example"


def setting(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"AEROCAST_ALERT_{name}", value)


def test_nothing_set_is_no_channel_and_every_kind() -> None:
    assert channels(read_settings()) == ()
    assert read_settings().kind_names == frozenset(KINDS)


def test_each_setting_makes_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, WEBHOOK=HOOK, SECRET="s" * 16, EMAIL=f"{MAIL}, b@c.example", COMMAND="sh -c 'exit 0' \"a b\"")
    hook, mail, program = channels(read_settings())
    assert hook == Webhook(HOOK, b"s" * 16)
    assert isinstance(mail, Mail)
    assert mail.receivers == (MAIL, "b@c.example")
    assert (mail.sender, mail.relay.host, mail.relay.port) == ("aerocast@my-site.example", "127.0.0.1", 25)
    assert isinstance(program, Program)
    assert program.words[1:] == ("-c", "exit 0", "a b")


def test_relay_with_user_is_read_from_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, EMAIL=MAIL, SMTP="smtps://ops@relay.example", SMTP_PASSWORD="secret", FROM="x@y.example")
    (mail,) = channels(read_settings())
    assert isinstance(mail, Mail)
    assert (mail.sender, mail.relay.user, mail.relay.port) == ("x@y.example", "ops", 465)
    assert mail.relay.is_encrypted
    assert "secret" not in repr(mail)


@pytest.mark.parametrize(
    ("values", "name", "shown"),
    [
        ({"WEBHOOK": "ftp://x.example/"}, "WEBHOOK", "ftp://x.example/"),
        ({"WEBHOOK": "https://u:p@x.example/"}, "WEBHOOK", "u:p"),
        ({"WEBHOOK": "https://x.example/a b"}, "WEBHOOK", "a b"),
        ({"WEBHOOK": "https://x.example:99999/"}, "WEBHOOK", "99999"),
        ({"WEBHOOK": "https://x.example/\r\nX: y"}, "WEBHOOK", "x.example"),
        ({"WEBHOOK": "https:///path"}, "WEBHOOK", "https:///path"),
        ({"WEBHOOK": HOOK, "SECRET": "short-one"}, "SECRET", "..."),
        ({"SECRET": "s" * 16}, "SECRET", "AEROCAST_ALERT_WEBHOOK"),
        ({"EMAIL": "nobody"}, "EMAIL", "nobody"),
        ({"EMAIL": f"{MAIL}\nBcc: x@y.example"}, "EMAIL", "Bcc"),
        ({"EMAIL": f"{MAIL},"}, "EMAIL", "''"),
        ({"EMAIL": MAIL, "FROM": "me"}, "FROM", "me"),
        ({"EMAIL": MAIL, "SMTP": "http://relay.example"}, "SMTP", "http"),
        ({"EMAIL": MAIL, "SMTP": "smtp://relay.example/x"}, "SMTP", "/x"),
        ({"EMAIL": MAIL, "SMTP": "smtp://ops@relay.example"}, "SMTP", "ops"),
        ({"EMAIL": MAIL, "SMTP_PASSWORD": "secret"}, "SMTP", "a user"),
        ({"COMMAND": "no-such-program-at-all"}, "COMMAND", "no-such"),
        ({"COMMAND": "sh -c 'open"}, "COMMAND", "quotation"),
        ({"KINDS": "drift_hot,fire"}, "KINDS", "fire"),
        ({"PATIENCE": "PT1S"}, "PATIENCE", "PT1S"),
        ({"DISK": "most"}, "DISK", "most"),
    ],
)
def test_odd_value_is_refused_in_a_sentence(
    values: dict[str, str], name: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, **values)
    with pytest.raises(AeroCastError) as error:
        channels(read_settings())
    text = str(error.value)
    assert f"AEROCAST_ALERT_{name}" in text
    assert shown in text
    assert "\n" not in text
    assert "short-one" not in text


def test_links_lead_to_url_or_server_which_must_be_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert url_of(Settings()) == "http://127.0.0.1:8000"
    monkeypatch.setenv("AEROCAST_URL", "https://aerocast.my-site.example")
    assert url_of(Settings()) == "https://aerocast.my-site.example"
    monkeypatch.setenv("AEROCAST_URL", "javascript:alert(1)")
    with pytest.raises(AeroCastError, match="AEROCAST_URL='javascript"):
        url_of(Settings())
