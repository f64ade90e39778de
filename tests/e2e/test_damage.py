"""Any file of a home, damaged in any way: the server answers, ticks go on, a run heals the file or names it."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import requests
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.posted import PostStore
from serving import predictor
from serving.schemas import PredictRequest
from tests.factories.drift import set_clock
from tests.factories.feeds import START, small_feed, write_readings
from tests.factories.predictions import answer, segment
from tests.factories.served_files import READING
from tests.harness.graph import champion_version, dagster_instance, first_run, refresh
from tests.harness.loop import LiveLoop, Loop
from tests.harness.reader import Reader

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]  # thousands of damages, and runs of a whole graph

DAMAGES = 2000
RUNS = 12
MADE = datetime(2024, 5, 1, tzinfo=UTC)
MONTHS = ("2024-01", "2024-05")
OF_OTHERS = ("dagster/",)  # the storage of Dagster itself
NAMED = (AeroCastError.__name__, "Damage", dg.Failure.__name__)  # whose sentences are ours


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(max(1, path.stat().st_size)))


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def replace_by(make: Callable[[Path], object]) -> Callable[[Path, random.Random], None]:
    def damage(path: Path, _: random.Random) -> None:
        path.unlink()
        make(path)

    return damage


FAULTS: dict[str, Callable[[Path, random.Random], object]] = {
    "cut": cut,
    "flipped": flip,
    "emptied": lambda path, _: path.write_bytes(b""),
    "overwritten": lambda path, rng: path.write_bytes(rng.randbytes(rng.randrange(1, 5000))),
    "gone": lambda path, _: path.unlink(),
    "a folder": replace_by(Path.mkdir),
    "a link to itself": replace_by(lambda path: path.symlink_to(path.name)),
    "a link to nothing": replace_by(lambda path: path.symlink_to("/nonexistent/file")),
    "a link to what cannot be read": replace_by(lambda path: path.symlink_to("/proc/self/mem")),
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Path]:
    """A polled feed and a home with a champion, logged forecasts and what follows from them."""
    place = tmp_path_factory.mktemp("lived")
    feed = small_feed(write_readings(place / "readings.csv"), end="2024-12-01T00:00:00Z", poll="PT5S")
    home = place / "home"
    set_clock(home, feed, MADE)
    first_run(home, feed, MONTHS)
    origins = [START + timedelta(days=100, hours=hour) for hour in range(200)]
    version = champion_version(home)
    segment(home, "one", [answer(f"a-{at:%m%dT%H}", at, {1: 50.0}, station="AAA", version=version) for at in origins])
    first_run(home, feed, MONTHS)
    requests.request_retrain(home, feed.name, "temperature", "too old")
    posts = PostStore(home, feed.name)
    posts.post(None, READING, "json", 1)
    posts.close()
    return feed, home


@pytest.fixture
def home(lived: tuple[Feed, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(lived[1], tmp_path / "home", symlinks=True))


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(home) as made:
        yield made


def files(home: Path) -> list[Path]:
    names = (path.relative_to(home) for path in sorted(home.rglob("*")) if path.is_file())
    return [name for name in names if not str(name).startswith(OF_OTHERS) and name.name not in (".lock", ".writer")]


def table_of(file: Path) -> str:
    """The table that a file of the lake belongs to."""
    return "/".join(part for part in file.parts[1:-1] if part != "_delta_log" and "=" not in part)


def is_named(file: Path, sentence: str) -> bool:
    """Whether a sentence names the file, or the table that it is part of."""
    return file.name.lstrip(".") in sentence or (file.parts[0] == "lake" and table_of(file) in sentence)


def own_sentences(error: BaseException | None) -> str:
    """The sentences of our own errors in a chain of causes; any other error counts for nothing."""
    sentences = []
    while error is not None:
        sentences += [str(error)] if isinstance(error, AeroCastError) else []
        error = error.__cause__
    return " ".join(sentences)


def error_of(action: Callable[[], object]) -> Exception | None:
    try:
        action()
    except Exception as error:
        return error
    return None


def restore(path: Path, whole: Path) -> None:
    """The sound file in the place of whatever is there now."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    shutil.copy2(whole, path)


def test_server_answers_and_ticks_go_on(
    lived: tuple[Feed, Path], home: Path, instance: dg.DagsterInstance, chance: random.Random
) -> None:
    feed, whole = lived
    reader, loops = Reader(home), (LiveLoop(feed, home, instance), Loop(feed, home, instance))
    assert reader.left_out() == {}
    names = files(home)
    for number in range(DAMAGES):
        name, fault = chance.choice(names), chance.choice(list(FAULTS))
        where = f"damage {number}: {name} is {fault}"
        FAULTS[fault](home / name, chance)
        reader.look()
        assert predictor.predict(reader.store, PredictRequest(station="AAA")).prediction.forecasts, where
        assert Reader(home).look().status, where
        for tick in (*(loop.look for loop in loops), loops[1].due):
            error = error_of(tick)
            assert error is None or is_named(name, own_sentences(error)), (where, error)
        restore(home / name, whole / name)
        for loop in loops:
            loop.cursor = None
    assert reader.left_out() == {}, "and heals when the cause is gone"


def failures(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    """Each failed step with the sentences of our own errors in it."""
    for event in result.all_events:
        if event.is_step_failure:
            error: Any = event.step_failure_data.error
            sentences = []
            while error:
                sentences += [error.message] if error.cls_name in NAMED else [f"({error.cls_name})"]
                error = error.cause
            yield event.step_key or "", " ".join(sentences)


def run(feed: Feed, home: Path, name: Path, where: str) -> None:
    """A run that fails names the file; after one that does not, all is well."""
    with dagster_instance(home) as instance:
        result = refresh(feed, home, instance, MONTHS)
        for step, sentences in failures(result):
            assert is_named(name, sentences), (where, step, sentences)
        if result.success:
            assert Reader(home).left_out() == {}, where
            assert [*failures(refresh(feed, home, instance, MONTHS))] == [], where


def test_run_heals_file_or_names_it(lived: tuple[Feed, Path], tmp_path: Path, chance: random.Random) -> None:
    feed, whole = lived
    names = files(whole)
    for number in range(RUNS):
        name, fault = chance.choice(names), chance.choice(list(FAULTS))
        where = f"damage {number}: {name} is {fault}"
        home = Path(shutil.copytree(whole, tmp_path / f"home{number}", symlinks=True))
        FAULTS[fault](home / name, chance)
        error = error_of(partial(run, feed, home, name, where))
        assert not isinstance(error, AssertionError), error
        assert error is None or is_named(name, own_sentences(error)), (where, error)  # of the home's own mark
        shutil.rmtree(home)
