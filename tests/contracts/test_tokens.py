"""Tokens: what is kept of a secret, who may do what, and changes by several people at once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.contracts import tokens
from aerocast.contracts.tokens import SCOPES, Scope, Token

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_home_keeps_digest_and_not_secret(tmp_path: Path) -> None:
    token, secret = tokens.create(tmp_path, "write", NOW, "roof")
    file = tmp_path / tokens.FILE
    assert secret not in file.read_text(encoding="utf-8")
    assert tokens.digest(secret.encode()) == token.digest
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.document(tmp_path).read() == tokens.Tokens((token,))


def test_file_is_private_whatever_was_left_beside_it(tmp_path: Path) -> None:
    """A process that was killed may have left a file of another mode, of another version."""
    (tmp_path / f".{tokens.FILE}.new").write_text("")
    tokens.create(tmp_path, "read", NOW)
    assert stat.S_IMODE((tmp_path / tokens.FILE).stat().st_mode) == 0o600


def test_secrets_differ_and_are_long(tmp_path: Path) -> None:
    secrets = {tokens.create(tmp_path, "read", NOW)[1] for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(secret.removeprefix(tokens.PREFIX)) == 43 for secret in secrets), "32 bytes in base64"


def test_names_are_scope_and_number_unless_given(tmp_path: Path) -> None:
    names = [tokens.create(tmp_path, "read", NOW, name)[0].name for name in ("", "", "read-3", "")]
    assert names == ["read-1", "read-2", "read-3", "read-4"]
    with pytest.raises(AeroCastError, match="a token read-2 already"):
        tokens.create(tmp_path, "read", NOW, "read-2")


@pytest.mark.parametrize("name", ["../x", "a b", "A", "-x", "a\nb", "x" * 41, "a/b"])
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AeroCastError, match="--name"):
        tokens.create(tmp_path, "read", NOW, name)
    assert not (tmp_path / tokens.FILE).exists()


def test_revoked_token_is_gone(tmp_path: Path) -> None:
    kept, _ = tokens.create(tmp_path, "read", NOW)
    tokens.create(tmp_path, "admin", NOW)
    assert tokens.revoke(tmp_path, "admin-1").tokens == (kept,)
    with pytest.raises(AeroCastError, match="no token 'admin-1'; there are: read-1"):
        tokens.revoke(tmp_path, "admin-1")


def test_number_of_tokens_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)
    for _ in range(2):
        tokens.create(tmp_path, "read", NOW)
    with pytest.raises(AeroCastError, match="revoke some"):
        tokens.create(tmp_path, "read", NOW)


def test_tokens_made_at_once_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: tokens.create(tmp_path, "write", NOW)[0].name, range(12)))
    own = tokens.document(tmp_path).read()
    assert own is not None
    assert sorted(token.name for token in own.tokens) == sorted({*made})
    assert len(made) == 12


@given(st.sampled_from(SCOPES), st.sampled_from(SCOPES))
def test_scope_allows_itself_and_lesser_ones(own: Scope, needed: Scope) -> None:
    allowed = {"read": {"read"}, "write": {"read", "write"}, "admin": {"read", "write", "admin"}}
    assert Token("x", own, "", NOW).allows(needed) == (needed in allowed[own])


def test_token_ends_at_its_instant() -> None:
    token = Token("x", "read", "", NOW, NOW + timedelta(days=1))
    assert [token.is_expired(NOW + timedelta(hours=hours)) for hours in (0, 23, 24, 25)] == [False, False, True, True]
    assert not Token("x", "read", "", NOW).is_expired(datetime.max.replace(tzinfo=UTC))
