"""Puts a chosen release into service without a trial: for a person, who then holds it, or for the loop."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_minute
from aerocast.contracts import clock
from aerocast.contracts.manifest import Manifest
from aerocast.contracts.pointer import Current, Hold, HoldError
from aerocast.feed.declaration import Feed
from aerocast.promotion import table
from aerocast.releases import compatibility, release
from aerocast.storage.home import Home

if TYPE_CHECKING:
    from aerocast.lake import Lake, LakeReader

LIFTED = "lifted"  # the verdict of a hold that was ended
STANDS = "stands:"  # the verdict of a release that was chosen, before the hash of the candidates that were there


@dataclass(frozen=True)
class Choice:
    """What serves after a choice, and why; `segment` names its row of promotions, and is empty if nothing changed."""

    serves: Manifest
    pointer: Current
    reason: str
    verdict: str
    segment: str
    is_switch: bool  # another release serves than the newest row says


def parse_length(text: str, field: str) -> timedelta | None:
    """Parses a length of time in ISO 8601; None for an empty text.

    Raises:
        AeroCastError: the text is no length of time, or not above 0.
    """
    from pydantic import TypeAdapter, ValidationError

    if not text:
        return None
    try:
        length = TypeAdapter(timedelta).validate_python(text)
    except ValidationError:
        length = timedelta(0)
    if length <= timedelta(0):
        raise AeroCastError(f"{field}: {text!r} must be a duration in ISO 8601, such as P7D or PT12H")
    return length


def choose(
    lake: "LakeReader",
    root: Home,
    feed: Feed,
    target: str,
    version: str,
    hold: Hold | None,
    why: str,
    candidates_hash: str,
) -> Choice:
    """Lets a release serve from now on; without a `hold` the choice is the loop's.

    Raises:
        AeroCastError: there is no such release, it is damaged or of another unit or cadence than the feed now, or a
            person holds another one and this choice is the loop's.
    """
    try:
        if version in release.versions(root, feed.name, target):
            manifest = release.load(root, feed.name, target, version).manifest
            if reasons := compatibility.incompatibilities(manifest, feed):
                raise AeroCastError(f"release {version} of {feed.name}/{target} cannot serve: {'; '.join(reasons)}")
        pointer = release.promote(root, feed.name, target, version, hold)
    except HoldError:
        raise
    except AeroCastError as error:
        versions = ", ".join(release.versions(root, feed.name, target)) or "none"
        raise AeroCastError(f"{error}; the releases of {feed.name}/{target}: {versions}") from error
    newest, verdict = table.newest(lake, feed.name, target), f"{STANDS}{candidates_hash}"
    # A run that was killed in between changed the pointer and left no row.
    is_switch = newest is None or newest["version"] != pointer.version
    serves = release.load(root, feed.name, target, pointer.version).manifest
    if newest and not is_switch and newest.get("hold") == _hold_text(pointer):
        return Choice(serves, pointer, f"{pointer.version} serves already", verdict, "", is_switch)
    segment = f"{verdict}@{pointer.version}@{pointer.promoted_at.isoformat()}"
    segment += f"@{pointer.hold.since.isoformat()}" if pointer.hold else ""
    reason = why if why and not hold else _choice_reason(pointer, why, is_switch=is_switch)
    return Choice(serves, pointer, reason, verdict, segment, is_switch)


def lift(root: Home, feed: Feed, target: str) -> Choice:
    """Ends a person's hold: from now on the loop may replace what serves.

    Raises:
        AeroCastError: nothing serves.
    """
    hold, pointer = release.lift(root, feed.name, target), release.current(root, feed.name, target)
    if pointer is None:
        raise AeroCastError(f"{feed.name}/{target}: no release serves, so none is held")
    serves = release.load(root, feed.name, target, pointer.version).manifest
    if not hold:
        return Choice(serves, pointer, f"there is no hold on {pointer.version}", LIFTED, "", is_switch=False)
    reason = f"the hold on {pointer.version} since {to_minute(hold.since)} was lifted"
    return Choice(serves, pointer, reason, LIFTED, f"{LIFTED}@{hold.since.isoformat()}", is_switch=False)


def record(lake: "Lake", root: Home, feed: Feed, target: str, choice: Choice, run_id: str, tag: str | None) -> None:
    """Appends the choice to the promotions, once a segment; `tag` is the reason that its run was asked for with."""
    version, is_choice = choice.serves.version, choice.verdict != LIFTED
    about = table.Context(
        run_id=run_id,
        feed_time=clock.now(root, feed.name, feed.end),
        retrain_reason=tag,
        since=choice.serves.lineage.since,
        version=version,
        challenger=version if is_choice else None,
        incumbent=choice.pointer.previous if is_choice else version,
        hold=_hold_text(choice.pointer),
    )
    table.record_choice(
        lake, feed, target, choice.serves, about, choice.reason, choice.verdict, choice.segment, is_switch=is_choice
    )


def settled_reason(lake: "LakeReader", feed: str, target: str, verdict: str, candidates_hash: str) -> str | None:
    """Why nothing has to be decided; None if it has."""
    newest = table.newest(lake, feed, target)
    if newest and newest["verdict"] == f"{STANDS}{candidates_hash}":
        return "was chosen, and there is no newer candidate"
    return "was proven on these rows" if table.is_decided(lake, feed, target, verdict) else None


def hold_for(length: timedelta | None, reason: str) -> Hold:
    """A person's hold from now on, for this long or until it is lifted."""
    now = datetime.now(UTC)
    return Hold(now, now + length if length else None, reason)


def _choice_reason(pointer: Current, why: str, *, is_switch: bool) -> str:
    """What a choice did to the pointer, as a sentence, and why."""
    if is_switch:
        back = pointer.previous is None or pointer.version < pointer.previous
        text = f"rolled {'back' if back else 'forward'} to {pointer.version} from {pointer.previous or 'nothing'}"
    else:
        text = f"{pointer.version} serves on; {pointer.hold}"
    return f"{text}: {why}" if why else text


def _hold_text(pointer: Current) -> str | None:
    """The pointer's hold as a sentence."""
    return str(pointer.hold) if pointer.hold else None
