"""Any file of a home, damaged in any way: the server answers, and a run either makes it again or names it.

`AEROCAST_DAMAGES=2000` tries more than the few of an ordinary run; `AEROCAST_DAMAGES_FROM` begins at another number.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import clock, requests
from aerocast.contracts.clock import Clock
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.posted import PostStore
from tests.factories.feeds import small_feed, write_readings
from tests.factories.served_files import READING
from tests.harness.graph import dagster_instance, first_run, refresh
from tests.harness.reader import Reader

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(0)]

COUNT, FIRST = int(os.environ.get("AEROCAST_DAMAGES", "12")), int(os.environ.get("AEROCAST_DAMAGES_FROM", "0"))
ROOMS = (
    *("candidates", "clock", "declared", "drift", "exports", "home.json", "lake", "mlflow.db", "observations"),
    *("releases", "reports", "requests", "tail"),
)


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size + 1)])


def in_place_of(make: Callable[[Path], object]) -> Callable[[Path, random.Random], None]:
    def damage(path: Path, _: random.Random) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path, random.Random], object]] = {
    "cut": cut,
    "flipped": flip,
    "emptied": lambda path, _: path.write_bytes(b""),
    "noise": lambda path, chance: path.write_bytes(chance.randbytes(200)),
    "gone": lambda path, _: path.unlink(),
    "a folder": in_place_of(Path.mkdir),
    "unreadable": in_place_of(lambda path: path.symlink_to("/proc/self/mem")),
    "a circle": in_place_of(lambda path: path.symlink_to(path.name)),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Path]:
    """A feed after its first run, with a file of each kind."""
    place = tmp_path_factory.mktemp("sound")
    feed, home = small_feed(write_readings(place / "readings.csv", hours=24 * 61)), place / "home"
    first_run(home, feed)
    requests.request_retrain(home, "small", "temperature", "too old")
    clock.document(home, "small").write(Clock(datetime(2024, 5, 1, tzinfo=UTC), datetime.now(UTC), 0.0))
    posts = PostStore(home, "small")
    posts.post(None, READING, "json", 1)
    posts.close()
    return feed, home


def errors(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """What each failed step says, with the causes."""
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None) if event.is_failure else None
        while error:
            yield error.message
            error = error.cause


def run(feed: Feed, home: Path) -> str:
    """What a run of the whole graph says where it fails; empty if it succeeds."""
    try:
        with dagster_instance(home) as instance:
            return " ".join(errors(refresh(feed, home, instance)))
    except AeroCastError as error:  # before there is an instance
        return str(error)


def test_damaged_file_is_made_again_or_named(sound: tuple[Feed, Path], tmp_path: Path, seed: int) -> None:
    feed, whole = sound
    files: dict[str, list[Path]] = {}
    for path in sorted(whole.rglob("*")):
        name = path.relative_to(whole)
        if path.is_file() and name.parts[0] in ROOMS and path.name != ".lock":
            files.setdefault(name.parts[0], []).append(name)
    for number in range(FIRST, FIRST + COUNT):
        chance = random.Random(f"{seed} {number}")
        name = chance.choice(files[chance.choice(sorted(files))])
        how = chance.choice(sorted(DAMAGES))
        home = tmp_path / str(number)
        shutil.copytree(whole, home)
        DAMAGES[how](home / name, chance)
        print(f"AEROCAST_DAMAGES_FROM={number} --seed {seed}: {name} is {how}")
        reader = Reader(home)
        reader.look()
        assert reader.metrics.text()
        message = run(feed, home)
        table = "/".join(name.parts[1:3])  # of a table's log
        assert not message or name.name in message or table in message, message
        reader.look()
        shutil.rmtree(home)
