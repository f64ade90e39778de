"""Channels, to real sockets and processes: what arrives, how it is signed, and what cannot break out of it."""

import hashlib
import hmac
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.alerts.alert import Alert, alert_of, link, sample_alert
from aerocast.alerts.mail import Mail, Relay, mail_of
from aerocast.alerts.program import Program
from aerocast.alerts.webhook import SIGNATURE, Webhook
from aerocast.common.errors import AeroCastError
from aerocast.contracts.alarms import Alarm, Condition, Letter
from tests.harness.sinks import certified, http_sink, smtp_sink

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://aerocast.my-site.example"
HOSTILE = "x\r\nBcc: all@my-site.example\r\n\r\n.\r\nQUIT {0} ${HOME} `id` %s \x00\u2028 <b>"


def alert(station: str = "JFK", sentence: str = "noaa: JFK is silent", phase: str = "began") -> Alert:
    condition = Condition("station_silent", sentence, "noaa", station=station, since=NOW)
    own = Alarm("0123456789abcdef0123", condition, NOW, NOW if phase == "over" else None)
    return alert_of(Letter(own, "over" if phase == "over" else "began"), "platform", URL)


def test_alert_says_what_where_and_by_which_id() -> None:
    own = alert("a/b?c", phase="over")
    assert own.id == "0123456789abcdef0123-over"
    assert own.alarm == "0123456789abcdef0123"
    assert own.title == "over: noaa/a/b?c: station is silent"
    assert own.link == f"{URL}/#/station/noaa/a%2Fb%3Fc"
    assert own.over_at == NOW
    assert alert().over_at is None


@pytest.mark.parametrize(
    ("kind", "feed", "page"),
    [("drift_hot", "noaa", "/#/loop"), ("check_failed", "noaa", "/#/data"), ("disk_full", None, "/health")],
)
def test_link_leads_to_page_that_shows_it(kind: str, feed: str | None, page: str) -> None:
    assert link(f"{URL}/", kind, feed, None) == URL + page


def test_webhook_posts_json_signed_over_its_body() -> None:
    with http_sink() as posts:
        Webhook(posts.url, b"a secret of some length").send(alert())
    (body,), (headers,) = posts.bodies, posts.headers
    assert msgspec.json.decode(body, type=Alert) == alert()
    mac = hmac.new(b"a secret of some length", body, hashlib.sha256).hexdigest()
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent[SIGNATURE.lower()] == f"sha256={mac}"
    assert sent["content-type"] == "application/json"
    assert sent["idempotency-key"] == alert().id


def test_webhook_without_secret_is_not_signed() -> None:
    with http_sink() as posts:
        Webhook(posts.url).send(alert())
    assert SIGNATURE.lower() not in {name.lower() for name in posts.headers[0]}


@pytest.mark.parametrize("status", [301, 307, 400, 404, 500, 503])
def test_webhook_that_answers_no_has_not_taken_it_and_leads_nowhere(status: int) -> None:
    with http_sink() as posts, http_sink() as elsewhere:
        posts.status, posts.location = status, elsewhere.url
        with pytest.raises(AeroCastError, match=f"127.0.0.1 answered {status}"):
            Webhook(posts.url).send(alert())
        assert elsewhere.bodies == []


def test_webhook_names_no_path_in_errors() -> None:
    """Some addresses hold a secret there."""
    with pytest.raises(AeroCastError) as error:
        Webhook("http://127.0.0.1:9/services/secret-of-mine", timeout=2).send(alert())
    assert "secret-of-mine" not in str(error.value)
    assert "secret-of-mine" not in repr(Webhook("http://127.0.0.1:9/services/secret-of-mine"))


def mail(port: int, receivers: Sequence[str] = ("ops@my-site.example",), user: str = "") -> Mail:
    relay = Relay("127.0.0.1", port, user, "password" if user else "")
    return Mail(tuple(receivers), "aerocast@my-site.example", relay, timeout=5)


def parsed(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_mail_has_title_sentence_and_link() -> None:
    with smtp_sink() as box:
        mail(box.port, ("a@my-site.example", "b@my-site.example")).send(alert())
    message = parsed(box.mails[0])
    assert message["subject"] == "[AeroCast] noaa/JFK: station is silent"
    assert message["message-id"] == "<0123456789abcdef0123-began@my-site.example>"
    text = message.get_content()
    assert "noaa: JFK is silent" in text
    assert f"{URL}/#/station/noaa/JFK" in text
    assert sum(word.upper().startswith("RCPT") for word in box.commands) == 2


def test_mail_is_encrypted_where_relay_offers_it(tmp_path: Path) -> None:
    with smtp_sink(certified(tmp_path)) as box:
        mail(box.port).send(alert())
    assert box.encrypted == 1
    assert len(box.mails) == 1


def test_password_is_not_told_without_encryption_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aerocast.alerts.mail._is_loopback", lambda host: False)
    with smtp_sink() as box, pytest.raises(AeroCastError, match="not told a password"):
        mail(box.port, user="ops").send(alert())
    assert not any(word.upper().startswith("AUTH") for word in box.commands)


def test_mail_that_all_are_refused_failed_and_one_that_some_have_did_not() -> None:
    with smtp_sink() as box:
        box.refuse = "b@"
        mail(box.port, ("a@my-site.example", "b@my-site.example")).send(alert())
        assert len(box.mails) == 1
        with pytest.raises(AeroCastError, match=r"refused b@my-site\.example"):
            mail(box.port, ("b@my-site.example",)).send(alert())


def test_odd_farewell_of_relay_is_no_failure() -> None:
    with smtp_sink() as box:
        box.farewell = b"500 what?\r\n"
        mail(box.port).send(alert())
    assert len(box.mails) == 1


@given(st.text(max_size=60), st.text(max_size=80))
def test_no_text_adds_a_header_field(station: str, sentence: str) -> None:
    plain, own = (
        mail_of(alert(*texts), "a@b.example", ("c@d.example",)) for texts in (("x", "y"), (station, sentence))
    )
    again = parsed(own.as_bytes(policy=policy.SMTP))
    assert [name.lower() for name in again] == [name.lower() for name in plain]
    assert again["to"] == "c@d.example"


def test_hostile_text_stays_text() -> None:
    with smtp_sink() as box, http_sink() as posts:
        mail(box.port).send(alert(HOSTILE, HOSTILE))
        Webhook(posts.url).send(alert(HOSTILE, HOSTILE))
    assert len(box.mails) == len(posts.bodies) == 1
    message = parsed(box.mails[0])
    assert message["bcc"] is None
    assert "\\r\\nBcc" in message["subject"]
    assert posts.alerts[0]["station"] == HOSTILE, "JSON holds any text"
    assert "\n" not in posts.alerts[0]["sentence"]


def script(tmp_path: Path, code: str) -> Program:
    file = tmp_path / "program.py"
    file.write_text(code)
    return Program((sys.executable, str(file), "an argument; $HOME"), timeout=20)


def test_program_gets_json_on_input_and_arguments_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROCAST_ALERT_SECRET", "hidden")
    out = tmp_path / "out"
    code = f"""
import json, os, sys
with open({str(out)!r}, "w") as file:
    json.dump([json.load(sys.stdin), sys.argv[1:], "AEROCAST_ALERT_SECRET" in os.environ], file)
"""
    script(tmp_path, code).send(alert(HOSTILE))
    body, arguments, has_secret = msgspec.json.decode(out.read_bytes())
    assert msgspec.convert(body, Alert) == alert(HOSTILE)
    assert arguments == ["an argument; $HOME"]
    assert has_secret is False


def test_program_that_fails_says_its_last_line(tmp_path: Path) -> None:
    program = script(tmp_path, "import sys\nsys.exit('first\\nthe pager is out')")
    with pytest.raises(AeroCastError, match="ended with status 1: the pager is out"):
        program.send(alert())


def test_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    words = shlex.split("sh -c 'sleep 600 & sleep 600'")
    with pytest.raises(AeroCastError, match="sh did not end within"):
        Program(tuple(words), timeout=0.3).send(alert())


def test_program_that_is_gone_is_named() -> None:
    with pytest.raises(AeroCastError, match="gone cannot be run"):
        Program(("/no/such/gone",)).send(alert())


def test_sample_names_itself_a_test() -> None:
    own = sample_alert(URL, NOW)
    assert (own.state, own.kind, own.title) == ("test", "test", "test: an alert arrives")
