"""Credentials of an object store, from where the cloud's own tools take them, and fresh for as long as a process lives.

Keys in the environment need nothing from here. Everything else (`AWS_PROFILE`, `~/.aws/config` and `credentials`,
assumed roles, web identity, a container's or a machine's role) is `boto3`'s; without that package the object store's
own client finds the last three by itself.
The server imports this module: the standard library; boto3 only where the home is a URL and it is installed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider

_TTL = timedelta(minutes=5)  # boto3 renews what expires a quarter of an hour before
_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}

Variables = tuple[tuple[str, str], ...]


def variables() -> Variables:
    """What of the environment says how an object store is reached."""
    return tuple(sorted((name, text) for name, text in os.environ.items() if name.startswith("AWS_")))


def provider() -> Boto3CredentialProvider | None:
    """What gives obstore its credentials; None if its client finds them itself.

    Raises:
        AeroCastError: the profile does not exist, a file of it is damaged, or it needs boto3 and that is not installed.
    """
    return _provider(variables(), _stamps())


def options() -> dict[str, str] | None:
    """The same for one use of a Delta table: its `storage_options`. Raises AeroCastError as `provider`."""
    found = provider()
    if found is None:
        return None
    try:
        keys = found()
    except Exception as error:  # boto3 has no common base: a service's refusal, a file, an address
        raise _refusal(error) from error
    named = {
        "AWS_ACCESS_KEY_ID": keys["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
        "AWS_SESSION_TOKEN": keys.get("token"),
        "AWS_REGION": found.config.get("region"),
        "AWS_ENDPOINT_URL": found.config.get("endpoint"),
    }
    return {name: str(value) for name, value in named.items() if value}


@lru_cache(maxsize=4)
def _provider(given: Variables, stamps: tuple[object, ...]) -> Boto3CredentialProvider | None:
    """One a state of the environment and of the files: it holds what is valid for hours."""
    named = dict(given)
    if "AWS_ACCESS_KEY_ID" in named or "AWS_SKIP_SIGNATURE" in named:
        return None
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if profile := named.get("AWS_PROFILE"):
            rule = "profiles need the package boto3: pip install boto3"
            raise AeroCastError(f"AWS_PROFILE={profile!r} cannot be used: {rule}") from None
        return None
    try:
        session = boto3.Session(region_name=named.get("AWS_REGION"))
        if session.get_credentials() is None:
            return None
        found = Boto3CredentialProvider(session, ttl=_TTL)
        endpoint = session._session.get_scoped_config().get("endpoint_url")
    except Exception as error:
        raise _refusal(error) from error
    if endpoint and "AWS_ENDPOINT_URL" not in named:
        found.config["endpoint"] = endpoint
    return found


def _refusal(error: Exception) -> AeroCastError:
    return AeroCastError(f"the credentials of the object store cannot be had: {' '.join(str(error).split())}")


def _stamps() -> tuple[object, ...]:
    """What changes when a person logs in again or edits a file."""
    found: list[object] = []
    for name, usual in _FILES.items():
        try:
            found.append(Path(os.environ.get(name, usual)).expanduser().stat().st_mtime_ns)
        except (OSError, RuntimeError):
            found.append(None)
    return tuple(found)
