"""A release that is chosen to serve without a trial: by a person, who then holds it, or by the loop."""

from datetime import UTC, datetime, timedelta

from aerocast.common.errors import AeroCastError
from aerocast.contracts.pointer import Current, Hold
from aerocast.feed.model import Feed
from aerocast.releases import compatibility, release
from aerocast.storage.home import Home


def length_of(text: str, field: str) -> timedelta | None:
    """A length of time in ISO 8601; None for no text.

    Raises:
        AeroCastError: it is none, or not above 0.
    """
    from pydantic import TypeAdapter, ValidationError

    if not text:
        return None
    try:
        length = TypeAdapter(timedelta).validate_python(text)
    except ValidationError:
        length = timedelta(0)
    if length <= timedelta(0):
        raise AeroCastError(f"{field}: {text!r} is no length of time in ISO 8601, such as P7D or PT12H")
    return length


def hold_for(length: timedelta | None, reason: str) -> Hold:
    """A person's hold from now on, for this long or until it is lifted."""
    now = datetime.now(UTC)
    return Hold(now, now + length if length else None, reason)


def promote(root: Home, feed: Feed, target: str, version: str, hold: Hold | None) -> Current:
    """Lets the release serve from now on.

    Raises:
        HoldError: a person holds another one, and this choice is the loop's.
        AeroCastError: there is no such release, it is damaged, or it is of another unit or cadence than the feed now.
    """
    if version in release.versions(root, feed.name, target):
        manifest = release.load(root, feed.name, target, version).manifest
        if why := compatibility.outdated(manifest, feed):
            raise AeroCastError(f"release {version} of {feed.name}/{target} cannot serve: {'; '.join(why)}")
    return release.promote(root, feed.name, target, version, hold)


def reason_for(pointer: Current, why: str, *, moved: bool) -> str:
    """What a choice did to the pointer, as a sentence, and why."""
    if moved:
        back = pointer.previous is None or pointer.version < pointer.previous
        text = f"rolled {'back' if back else 'forward'} to {pointer.version} from {pointer.previous or 'nothing'}"
    else:
        text = f"{pointer.version} serves on; {pointer.hold}"
    return f"{text}: {why}" if why else text


def text_of(pointer: Current) -> str | None:
    """The pointer's hold as a sentence."""
    return str(pointer.hold) if pointer.hold else None
