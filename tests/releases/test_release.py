"""Releases: complete or invisible, verified when read, and the same again for the same config_hash."""

import errno
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts.manifest import Graph, Graphs, Manifest
from aerocast.releases import contents, release
from aerocast.storage import atomic
from tests.factories.releases import damage, graph, intervals, manifest, publish, write_release

KEY = ("noaa", "temperature")
KILLS = 100


def test_release_round_trips(tmp_path: Path) -> None:
    made = manifest(7)
    version = release.write(tmp_path, made, {"model.onnx": graph()})
    loaded = release.load(tmp_path, *KEY, version)
    assert version == "0001-00000007"
    assert loaded.files == {"model.onnx": graph()}
    assert loaded.manifest == made.stamped(version, {"model.onnx": loaded.manifest.graphs.station.sha256})


def test_versions_count_up_and_history_is_newest_first(tmp_path: Path) -> None:
    written = [write_release(tmp_path, number) for number in (3, 1, 2)]
    assert written == ["0001-00000003", "0002-00000001", "0003-00000002"]
    assert release.versions(tmp_path, *KEY) == written
    assert [entry.version for entry in release.history(tmp_path, *KEY, limit=2)] == written[:0:-1]


def test_same_config_hash_is_written_once(tmp_path: Path) -> None:
    first = write_release(tmp_path, 1)
    write_release(tmp_path, 2)
    assert write_release(tmp_path, 1, b"other bytes") == first
    assert len(release.versions(tmp_path, *KEY)) == 2


def test_damaged_release_is_written_again(tmp_path: Path) -> None:
    first = write_release(tmp_path, 1)
    damage(release.folder(tmp_path, *KEY) / first / "model.onnx")
    assert write_release(tmp_path, 1) == "0002-00000001"


def test_hashes_with_common_prefix_are_two_releases(tmp_path: Path) -> None:
    one = manifest(1)
    other = msgspec.structs.replace(
        one, lineage=msgspec.structs.replace(one.lineage, config_hash="00000001" + "ff" * 28)
    )
    versions = [release.write(tmp_path, made, {"model.onnx": b"x"}) for made in (one, other)]
    assert versions == ["0001-00000001", "0002-00000001"]


def test_all_graphs_round_trip(tmp_path: Path) -> None:
    files = {"model.onnx": b"one", "sequence.onnx": b"two", "trial.onnx": b"three"}
    graphs = Graphs(*(Graph(name, (), intervals()) for name in files))
    version = release.write(tmp_path, manifest(graphs=graphs), files)
    stored = release.load(tmp_path, *KEY, version)
    assert stored.files == files
    sums = {each.file: each.sha256 for each in stored.manifest.graphs.all()}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert stored.manifest.graphs.for_trial.file == "trial.onnx"


def test_promotion_moves_pointer_once(tmp_path: Path) -> None:
    assert release.current(tmp_path, *KEY) is None
    first, second = write_release(tmp_path, 1), write_release(tmp_path, 2)
    release.promote(tmp_path, *KEY, first)
    moved = release.promote(tmp_path, *KEY, second)
    assert (moved.version, moved.previous) == (second, first)
    assert release.promote(tmp_path, *KEY, second) == moved == release.current(tmp_path, *KEY)


def test_challenger_is_named_until_promotion(tmp_path: Path) -> None:
    first, second, third = (write_release(tmp_path, number) for number in (1, 2, 3))
    with pytest.raises(AeroCastError, match="no other one serves"):
        release.challenge(tmp_path, *KEY, second)
    release.promote(tmp_path, *KEY, first)
    assert release.challenger(tmp_path, *KEY) is None
    assert release.challenger_stamp(tmp_path, *KEY) is None
    named = release.challenge(tmp_path, *KEY, second)
    stamp = release.challenger_stamp(tmp_path, *KEY)
    assert named is not None
    assert release.challenge(tmp_path, *KEY, second) == named == release.challenger(tmp_path, *KEY)
    assert release.challenger_stamp(tmp_path, *KEY) == stamp, "the same again changes nothing"
    release.challenge(tmp_path, *KEY, third)
    assert release.challenger_stamp(tmp_path, *KEY) not in (stamp, None)
    release.promote(tmp_path, *KEY, third)
    assert release.challenger(tmp_path, *KEY) is None
    release.challenge(tmp_path, *KEY, second)
    for _ in range(2):
        assert release.challenge(tmp_path, *KEY, None) is None
        assert release.challenger_stamp(tmp_path, *KEY) is None


def test_release_that_cannot_serve_cannot_challenge(tmp_path: Path) -> None:
    first, second = write_release(tmp_path, 1), write_release(tmp_path, 2)
    release.promote(tmp_path, *KEY, first)
    with pytest.raises(AeroCastError, match="no other one serves"):
        release.challenge(tmp_path, *KEY, first)
    with pytest.raises(AeroCastError, match="there is no release '0009-0000000a'"):
        release.challenge(tmp_path, *KEY, "0009-0000000a")
    damage(release.folder(tmp_path, *KEY) / second / "model.onnx")
    with pytest.raises(AeroCastError, match="is damaged"):
        release.challenge(tmp_path, *KEY, second)
    assert release.challenger(tmp_path, *KEY) is None


def test_unreadable_pointer_raises_one_sentence(tmp_path: Path) -> None:
    release.promote(tmp_path, *KEY, write_release(tmp_path))
    (release.folder(tmp_path, *KEY) / "challenger.json").write_text("{")
    with pytest.raises(AeroCastError, match=r"challenger\.json cannot be read"):
        release.challenger(tmp_path, *KEY)


def test_only_releases_signed_with_the_key_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unsigned = publish(tmp_path, 1)
    monkeypatch.setenv("AEROCAST_RELEASE_KEY", "a secret of ours")
    with pytest.raises(AeroCastError, match="is not signed with the key in AEROCAST_RELEASE_KEY"):
        release.load(tmp_path, "noaa", "temperature", unsigned)
    signed = publish(tmp_path, 2)
    assert release.load(tmp_path, "noaa", "temperature", signed).version == signed
    sums = release.folder(tmp_path, "noaa", "temperature") / signed / "SHA256SUMS"
    whole = sums.read_bytes()
    for changed in (whole + b"\n", whole.replace(b"a", b"b", 1)):
        sums.write_bytes(changed)
        with pytest.raises(AeroCastError, match="is not signed"):
            release.load(tmp_path, "noaa", "temperature", signed)
    sums.write_bytes(whole)
    monkeypatch.setenv("AEROCAST_RELEASE_KEY", "a secret of others")
    with pytest.raises(AeroCastError, match="is not signed"):
        release.load(tmp_path, "noaa", "temperature", signed)
    monkeypatch.setenv("AEROCAST_RELEASE_KEY", "short")
    with pytest.raises(AeroCastError, match="has 5 characters; it must have at least 16"):
        publish(tmp_path, 3)
    monkeypatch.delenv("AEROCAST_RELEASE_KEY")
    assert release.load(tmp_path, "noaa", "temperature", signed).version == signed, "a key is no duty"


def test_promoted_targets_are_discovered(tmp_path: Path) -> None:
    assert list(release.discover(tmp_path)) == []
    publish(tmp_path, 1)
    release.write(tmp_path, manifest(1, target="pressure"), {"model.onnx": b"x"})
    (found,) = release.discover(tmp_path)
    publish(tmp_path, 2)
    (moved,) = release.discover(tmp_path)
    assert found[:2] == moved[:2] == KEY
    assert found[2] != moved[2]


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "SHA256SUMS"])
@pytest.mark.parametrize("fault", ["bit", "cut", "gone"])
def test_damaged_file_is_detected_and_named(tmp_path: Path, name: str, fault: str) -> None:
    version = write_release(tmp_path)
    path = release.folder(tmp_path, *KEY) / version / name
    if fault == "bit":
        damage(path)
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    else:
        path.unlink()
    with pytest.raises(AeroCastError, match="is damaged: ") as caught:
        release.load(tmp_path, *KEY, version)
    assert "\n" not in str(caught.value)
    with pytest.raises(AeroCastError):
        release.promote(tmp_path, *KEY, version)
    assert release.current(tmp_path, *KEY) is None


def test_damaged_pointer_is_error_not_absence(tmp_path: Path) -> None:
    publish(tmp_path)
    (release.folder(tmp_path, *KEY) / "current.json").write_text('{"version": 3')
    with pytest.raises(AeroCastError, match=r"current\.json cannot be read"):
        release.current(tmp_path, *KEY)


def test_history_lists_damaged_release_with_error(tmp_path: Path) -> None:
    first, second = write_release(tmp_path, 1), write_release(tmp_path, 2)
    damage(release.folder(tmp_path, *KEY) / first / "manifest.json")
    newest, oldest = release.history(tmp_path, *KEY)
    assert newest.version == second
    assert newest.error is None
    assert oldest.manifest is None
    assert "manifest.json" in str(oldest.error)


def test_history_reads_sound_manifest_once_and_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, reads = [write_release(tmp_path, number) for number in (1, 2, 3)], list[str]()
    read = contents.read_manifest

    def noted(bundle: contents.Bundle, sums: Mapping[str, str]) -> Manifest:
        reads.append(bundle.version)
        return read(bundle, sums)

    monkeypatch.setattr(contents, "read_manifest", noted)
    for _ in range(3):
        assert [entry.error for entry in release.history(tmp_path, *KEY)] == [None] * 3
    assert sorted(reads) == versions
    path = release.folder(tmp_path, *KEY) / versions[1] / "manifest.json"
    sound = path.read_bytes()
    path.write_bytes(sound[:-2])
    assert [bool(entry.error) for entry in release.history(tmp_path, *KEY)] == [False, True, False]
    path.write_bytes(sound)
    assert [entry.error for entry in release.history(tmp_path, *KEY)] == [None] * 3


@pytest.mark.parametrize(
    "version", ["", "..", "0001", "0009-00000001", "../temperature/0001-00000001", ".new-0001-00000001"]
)
def test_unknown_version_is_refused(tmp_path: Path, version: str) -> None:
    write_release(tmp_path)
    with pytest.raises(AeroCastError, match="there is no release"):
        release.load(tmp_path, *KEY, version)


def test_name_outside_folder_is_refused(tmp_path: Path) -> None:
    for feed in ("..", "a/b", "", "Noaa"):
        with pytest.raises(AeroCastError, match="not a valid name"):
            release.current(tmp_path, feed, "temperature")
    outside = Graphs(Graph("../model.onnx", (), intervals()))
    with pytest.raises(AeroCastError, match="not a valid file name"):
        release.write(tmp_path, manifest(graphs=outside), {"../model.onnx": b"x"})


def test_unreadable_manifest_is_not_written(tmp_path: Path) -> None:
    made = manifest()
    overall = msgspec.structs.replace(made.metrics.overall, rmse=float("nan"))
    broken = msgspec.structs.replace(made, metrics=msgspec.structs.replace(made.metrics, overall=overall))
    with pytest.raises(AeroCastError, match=r"metrics\.overall\.rmse"):
        release.write(tmp_path, broken, {"model.onnx": b"x"})
    with pytest.raises(AeroCastError, match="the manifest names"):
        release.write(tmp_path, made, {"other.onnx": b"x"})
    assert release.versions(tmp_path, *KEY) == []


def test_manifest_with_unknown_fields_is_read(tmp_path: Path) -> None:
    version = write_release(tmp_path)
    place = release.folder(tmp_path, *KEY) / version
    content = json.loads((place / "manifest.json").read_bytes()) | {"shadow": {"share": 0.1}}
    data = json.dumps(content).encode()
    (place / "manifest.json").write_bytes(data)
    sums = (place / "SHA256SUMS").read_text().splitlines()
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  manifest.json" if line.endswith("manifest.json") else line
        for line in sums
    ]
    (place / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert release.load(tmp_path, *KEY, version).version == version


def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path)
    real = atomic.write_file

    def full(path: Path, data: bytes, *, private: bool = False) -> None:
        real(path, data[: len(data) // 2], private=private)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "write_file", full)
    with pytest.raises(AeroCastError, match="No space left on device"):
        write_release(tmp_path, 2)
    with pytest.raises(AeroCastError, match="No space left on device"):
        release.promote(tmp_path, *KEY, _second_by_hand(tmp_path, monkeypatch, real, full))
    place = release.folder(tmp_path, *KEY)
    assert sorted(path.name for path in place.iterdir() if "new" in path.name) == []
    pointer = release.current(tmp_path, *KEY)
    assert pointer
    assert pointer.version == "0001-00000001"


def _second_by_hand(home: Path, monkeypatch: pytest.MonkeyPatch, real: object, full: object) -> str:
    monkeypatch.setattr(atomic, "write_file", real)
    version = write_release(home, 2)
    monkeypatch.setattr(atomic, "write_file", full)
    return version


def test_denied_write_raises_one_sentence(tmp_path: Path) -> None:
    """A file size limit makes the kernel itself refuse, in the middle of a file."""
    code = (
        "import signal, sys; from pathlib import Path; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from aerocast.releases import release; from tests.factories.releases import manifest\n"
        "release.write(Path(sys.argv[1]), manifest(), {'model.onnx': b'x' * 100_000})"
    )
    limit = (50_000, 50_000)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
    )
    assert "AeroCastError: release of noaa/temperature could not be written to" in done.stderr
    assert "File too large" in done.stderr
    assert release.versions(tmp_path, *KEY) == []


def test_home_that_is_file_raises_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    with pytest.raises(AeroCastError, match=r"could not be written to .*: .*home is not a folder"):
        write_release(home)


def test_concurrent_writers_get_separate_versions(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda number: write_release(tmp_path, number), [*range(1, 13), *range(1, 13)]))
    assert len(set(written)) == 12
    assert [release._number(version) for version in release.versions(tmp_path, *KEY)] == list(range(1, 13))
    assert all(written[index] == written[index + 12] for index in range(12))


def _write_for_ever(home: Path, first: int) -> None:
    made = manifest(1)
    for number in count(first):
        lineage = msgspec.structs.replace(made.lineage, config_hash=f"{number:08x}" * 8)
        version = release.write(home, msgspec.structs.replace(made, lineage=lineage), {"model.onnx": bytes(400_000)})
        release.promote(home, *KEY, version)


@pytest.mark.e2e
def test_reader_never_sees_partial_release_of_killed_writer(tmp_path: Path, chance: random.Random) -> None:
    """Writers die by SIGKILL at random moments, until enough of them left half a release, while this process reads."""
    kills, halves = 0, 0
    place = release.folder(tmp_path, *KEY)
    while kills < KILLS or halves <= KILLS // 10:
        before = release.versions(tmp_path, *KEY)
        writer = get_context("fork").Process(target=_write_for_ever, args=(tmp_path, 1 + kills * 10_000))
        writer.start()
        while release.versions(tmp_path, *KEY) == before:
            assert writer.is_alive()
        for _ in range(chance.randint(1, 5)):
            _read_all(tmp_path)
        time.sleep(chance.uniform(0.0, 0.005))
        writer.kill()
        writer.join()
        _read_all(tmp_path)
        kills += 1
        halves += any(place.glob(".new-*"))
    write_release(tmp_path, 99_999_999)
    assert list(place.glob(".new-*")) == []
    for version in release.versions(tmp_path, *KEY):
        release.load(tmp_path, *KEY, version)


def _read_all(home: Path) -> None:
    """Everything that is visible must load: the newest releases, and the one that serves."""
    for version in release.versions(home, *KEY)[-2:]:
        release.load(home, *KEY, version)
    pointer = release.current(home, *KEY)
    if pointer:
        release.load(home, *KEY, pointer.version)


def test_release_of_other_format_is_refused_by_name(tmp_path: Path) -> None:
    old = publish(tmp_path, 1)
    made = msgspec.structs.replace(manifest(2), format=2)
    newer = release.write(tmp_path, made, {"model.onnx": graph()})
    sentence = rf"{newer} is of format 2: this version of AeroCast reads formats up to 1; update it, or roll back"
    for refuse in (release.load, release.promote):
        with pytest.raises(AeroCastError, match=sentence):
            refuse(tmp_path, *KEY, newer)
    (entry, _) = release.history(tmp_path, *KEY)
    assert entry.manifest is None
    assert "is of format 2" in str(entry.error)
    place = release.folder(tmp_path, *KEY) / old
    before = {
        name: value for name, value in json.loads((place / "manifest.json").read_text()).items() if name != "window"
    }
    data = json.dumps(before).encode()
    (place / "manifest.json").write_bytes(data)
    sums = (place / "SHA256SUMS").read_text().splitlines()
    own = f"{hashlib.sha256(data).hexdigest()}  manifest.json"
    (place / "SHA256SUMS").write_text(
        "\n".join(own if line.endswith("manifest.json") else line for line in sums) + "\n"
    )
    with pytest.raises(AeroCastError, match=rf"manifest of release .*{old}.*window"):
        release.load(tmp_path, *KEY, old)
