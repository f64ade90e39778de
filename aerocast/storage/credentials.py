"""Finds the credentials of an object store where the cloud's own tools look for them, and keeps them fresh.

Keys in the environment need no help. Everything else (`AWS_PROFILE`, `~/.aws/config` and `credentials`,
assumed roles, web identity, a container's or a machine's role) is `boto3`'s; without that package the object store's
own client finds the last three by itself.
The server imports this module: the standard library, and boto3 if the home is a URL and it is installed.
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
    """The variables that say how an object store is reached."""
    return tuple(sorted((name, text) for name, text in os.environ.items() if name.startswith("AWS_")))


def provider() -> Boto3CredentialProvider | None:
    """The provider of credentials for obstore; None if its client finds them by itself.

    Raises:
        AeroCastError: the profile does not exist, its file is damaged, or it needs boto3, which is not installed.
    """
    return _provider(variables(), _stamps())


def options() -> dict[str, str] | None:
    """The `storage_options` for one use of a Delta table. Raises AeroCastError as `provider`."""
    source = provider()
    if source is None:
        return None
    try:
        keys = source()
    except Exception as error:  # boto3 has no common base: a service's refusal, a file, an address
        raise _refusal(error) from error
    settings = {
        "AWS_ACCESS_KEY_ID": keys["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
        "AWS_SESSION_TOKEN": keys.get("token"),
        "AWS_REGION": source.config.get("region"),
        "AWS_ENDPOINT_URL": source.config.get("endpoint"),
    }
    return {name: str(value) for name, value in settings.items() if value}


@lru_cache(maxsize=4)
def _provider(environment: Variables, stamps: tuple[object, ...]) -> Boto3CredentialProvider | None:
    """One provider for each state of the environment and the files, because what it caches is valid for hours."""
    settings = dict(environment)
    if "AWS_ACCESS_KEY_ID" in settings or "AWS_SKIP_SIGNATURE" in settings:
        return None
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if profile := settings.get("AWS_PROFILE"):
            rule = "profiles need the package boto3: pip install boto3"
            raise AeroCastError(f"AWS_PROFILE={profile!r} cannot be used: {rule}") from None
        return None
    try:
        session = boto3.Session(region_name=settings.get("AWS_REGION"))
        if session.get_credentials() is None:
            return None
        source = Boto3CredentialProvider(session, ttl=_TTL)
        endpoint = session._session.get_scoped_config().get("endpoint_url")
    except Exception as error:
        raise _refusal(error) from error
    if endpoint and "AWS_ENDPOINT_URL" not in settings:
        source.config["endpoint"] = endpoint
    return source


def _refusal(error: Exception) -> AeroCastError:
    return AeroCastError(f"there are no credentials for the object store: {' '.join(str(error).split())}")


def _stamps() -> tuple[object, ...]:
    """What changes when a person logs in again or edits a file."""
    stamps: list[object] = []
    for name, default in _FILES.items():
        try:
            stamps.append(Path(os.environ.get(name, default)).expanduser().stat().st_mtime_ns)
        except (OSError, RuntimeError):
            stamps.append(None)
    return tuple(stamps)
