"""The tail: what silver writes for the server, whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import tail
from aerocast.features.grid import Grid
from aerocast.storage import atomic
from tests.factories.releases import damage
from tests.factories.tails import grid


def test_grids_round_trip(tmp_path: Path) -> None:
    given = {"JFK": grid("JFK"), "LGA": grid("LGA", rows=30)}
    given["LGA"].values[3, 1] = np.nan
    given["LGA"].age[3, 1] = np.nan
    tail.write_grids(tmp_path, "noaa", given)
    found = tail.read_grids(tmp_path, "noaa")
    assert list(found) == ["JFK", "LGA"]
    for station, one in found.items():
        assert one.station == station
        assert one.columns == given[station].columns
        assert one.time.dtype == np.dtype("datetime64[s]")
        for name in ("time", "values", "age"):
            np.testing.assert_array_equal(getattr(one, name), getattr(given[station], name))


def test_tail_without_stations_round_trips(tmp_path: Path) -> None:
    tail.write_grids(tmp_path, "noaa", {})
    assert tail.read_grids(tmp_path, "noaa") == {}


def test_stations_with_different_columns_are_refused(tmp_path: Path) -> None:
    odd = grid("LGA")
    odd = Grid("LGA", odd.time, ("a", "b", "c"), odd.values, odd.age)
    with pytest.raises(AeroCastError, match="LGA has other columns than JFK"):
        tail.write_grids(tmp_path, "noaa", {"JFK": grid("JFK"), "LGA": odd})


def test_stamp_changes_with_every_write(tmp_path: Path) -> None:
    assert tail.stamp(tmp_path, "noaa") is None
    stamps = []
    for _ in range(3):
        tail.write_grids(tmp_path, "noaa", {"JFK": grid("JFK")})
        stamps.append(tail.stamp(tmp_path, "noaa"))
    assert len(set(stamps)) == 3


@pytest.mark.parametrize("fault", ["bit", "cut", "text", "empty", "other"])
def test_damaged_tail_raises_one_sentence(tmp_path: Path, fault: str) -> None:
    tail.write_grids(tmp_path, "noaa", {"JFK": grid("JFK")})
    path = tmp_path / tail.document_name("noaa")
    data = path.read_bytes()
    if fault == "bit":
        damage(path)
    elif fault == "other":
        np.savez(path, something=np.zeros(3))
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "text": b"no archive", "empty": b""}[fault])
    with pytest.raises(AeroCastError, match="is damaged: ") as caught:
        tail.read_grids(tmp_path, "noaa")
    assert "\n" not in str(caught.value)


def test_absent_tail_raises_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AeroCastError, match="there is no tail of feed 'noaa'"):
        tail.read_grids(tmp_path, "noaa")


def test_full_disk_keeps_old_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail.write_grids(tmp_path, "noaa", {"JFK": grid("JFK")})

    def full(path: Path, data: bytes, **_: object) -> None:
        path.write_bytes(data[:10])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(atomic, "write_file", full)
    with pytest.raises(AeroCastError, match=r"tail/noaa.npz could not be written .*No space left"):
        tail.write_grids(tmp_path, "noaa", {"LGA": grid("LGA")})
    assert list(tail.read_grids(tmp_path, "noaa")) == ["JFK"]
    assert sorted(path.name for path in (tmp_path / "tail").iterdir()) == [".lock", "noaa.npz"]
