"""`aerocast token`: the secret is shown once and alone, the list shows none."""

from pathlib import Path

import pytest

from aerocast.contracts import tokens
from cli.__main__ import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AEROCAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_create_prints_secret_alone_and_list_prints_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "--scope", "write", "--name", "roof", "--days", "30"]) == 0
    secret, sentence = capsys.readouterr()
    own = tokens.document(home).read()
    assert own is not None
    (token,) = own.tokens
    assert tokens.digest(secret.strip().encode()) == token.digest
    assert (token.name, token.scope) == ("roof", "write")
    assert token.expires_at is not None
    assert (token.expires_at - token.created_at).days == 30
    assert "roof: scope write, until" in sentence
    assert main(["token", "list"]) == 0
    listed = capsys.readouterr().out
    assert "roof" in listed
    assert "write" in listed
    assert secret.strip() not in listed
    assert token.digest not in listed


def test_revoke_of_last_token_says_what_that_opens(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scope in ("read", "admin"):
        assert main(["token", "create", "--scope", scope]) == 0
    assert main(["token", "revoke", "read-1"]) == 0
    assert "everybody" not in capsys.readouterr().out
    assert main(["token", "revoke", "admin-1"]) == 0
    assert "everybody" in capsys.readouterr().out
    assert main(["token", "revoke", "admin-1"]) == 1
    assert "there are: none" in capsys.readouterr().err
    assert main(["token", "list"]) == 0
    assert "There is no token" in capsys.readouterr().out


@pytest.mark.parametrize("days", ["0", "-1", "3651", "x"])
def test_odd_days_are_refused(days: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["token", "create", "--scope", "read", "--days", days])
    assert stop.value.code == 2
