"""What is removed beside the tables, and what never is: what serves, what a rollback may want, what is not in raw."""

import os
import random
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from aerocast.contracts import prediction_history
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import claims
from aerocast.ingest.channels.inbox import Inbox
from aerocast.lake import Lake
from aerocast.monitoring.evaluation import history
from aerocast.operations import pruning
from aerocast.releases import release
from aerocast.releases.release import POINTER
from tests.factories import releases
from tests.factories.claims import lookup_of, write_object
from tests.factories.feeds import small_feed
from tests.harness.memory_broker import MemoryBroker

LONG_AGO = time.time() - 400 * 86_400
NONE = timedelta(0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def declared(**kept: object) -> Feed:
    return small_feed(Path("none.csv"), name="noaa", housekeeping=kept)


def released(home: Path, number: int) -> str:
    """A release that no other one is like."""
    plain = releases.manifest(number)
    other = msgspec.structs.replace(plain.lineage, config_hash=f"{number:064x}")
    return release.write(home, msgspec.structs.replace(plain, lineage=other), {"model.onnx": releases.graph()})


def test_newest_and_referenced_releases_stay(home: Path, chance: random.Random) -> None:
    feed, lake = declared(releases=3), Lake(home)
    made: list[str] = []
    for number in range(12):
        made.append(released(home, number + 1))
        if chance.random() < 0.4 or number == 1:
            release.promote(home, "noaa", "temperature", chance.choice(release.versions(home, "noaa", "temperature")))
        serving = release.current(home, "noaa", "temperature")
        if serving and serving.version != made[-1] and chance.random() < 0.3:
            release.challenge(home, "noaa", "temperature", made[-1])
        before = release.versions(home, "noaa", "temperature")
        removed = pruning.prune(home, lake, feed)["releases"]
        left = release.versions(home, "noaa", "temperature")
        pointers = [release.current(home, "noaa", "temperature"), release.challenger(home, "noaa", "temperature")]
        named = {each for pointer in pointers if pointer for each in (pointer.version, pointer.previous) if each}
        assert set(left) == {*before[-3:], *(named & set(before))}
        assert removed == len(before) - len(left)
    for version in left:
        release.load(home, "noaa", "temperature", version)
    assert released(home, 13).split("-")[0] == "0013", "a number is not given twice"


def test_version_in_any_pointer_field_stays(home: Path) -> None:
    feed, versions = declared(releases=1), [released(home, number) for number in range(1, 5)]
    release.promote(home, "noaa", "temperature", versions[3])
    path = home / "releases/noaa/temperature" / POINTER
    pointer = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode(pointer | {"previous": versions[1]}))
    pruning.prune(home, Lake(home), feed)
    assert release.versions(home, "noaa", "temperature") == [versions[1], versions[3]]


def test_set_aside_files_are_removed_after_their_time(home: Path) -> None:
    feed, folder = declared(done="PT0S", rejected=None), home / "inbox/noaa"
    for name in ("done/a.csv", "rejected/b.csv", "c.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    inbox = Inbox(str(home / "inbox"), home, "noaa")
    assert inbox.prune(timedelta(days=1), timedelta(days=1)) == 0, "it was put there just now, however old it is"
    assert pruning.prune(home, Lake(home), feed)["inbox_files"] == 1
    assert sorted(path.name for path in folder.rglob("*.csv")) == ["b.csv", "c.csv"]


def test_announced_object_is_removed_once_in_raw(home: Path, tmp_path: Path) -> None:
    feed, broker = small_feed(tmp_path / "none.csv", housekeeping={"claims": "P31D"}), MemoryBroker()
    for hour in range(2):
        file = write_object(tmp_path / f"{hour}.parquet", [hour])
        claims.announce(broker, claims.TRAINING_TOPIC, feed, [file], home)  # type: ignore[arg-type]
    later = broker.queue.pop()
    claims.take_claims(broker, home, lookup_of(feed))  # type: ignore[arg-type]
    objects = sorted((home / "claims/small").glob("*.parquet"))
    assert pruning.prune(home, Lake(home), feed)["claimed_objects"] == 0, "young"
    for path in objects:
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert pruning.prune(home, Lake(home), feed)["claimed_objects"] == 1
    broker.queue = [later]
    assert claims.take_claims(broker, home, lookup_of(feed)).rows == {"small": 1}  # type: ignore[arg-type]


def test_old_history_months_and_unused_candidates_are_removed(home: Path) -> None:
    feed = declared(exports="P32D", candidates="P31D")
    exported, kinds = prediction_history.place(home, "noaa"), home / "candidates/noaa/temperature"
    for folder, names in ((exported, ["2024-01.csv", "2024-02.csv", "2024-03.csv"]), (kinds, ["linear", "gone"])):
        folder.mkdir(parents=True)
        for name in names:
            path = folder / (name if "." in name else f"{name}.msgpack")
            path.write_text("x")
            os.utime(path, (LONG_AGO, LONG_AGO))
    done = pruning.prune(home, Lake(home), feed)
    assert (done["exports"], done["candidates"]) == (1, 1)
    assert sorted(path.name for path in exported.iterdir()) == ["2024-02.csv", "2024-03.csv"]
    assert [path.name for path in kinds.iterdir()] == ["linear.msgpack"]
    assert history.months_kept(feed, ["2024-01", "2024-02", "2024-03"]) == ["2024-02", "2024-03"]
