"""Rollback is a materialisation: by name, with its reason on record, held until lifted; it fails in one sentence."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.promotion import table
from aerocast.releases import release
from aerocast_assets.assets import champion
from aerocast_assets.keys import job_name, key
from tests.factories.releases import damage, graph, manifest, publish
from tests.harness.graph import definitions, metadata

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

KEY = ("noaa", "temperature")


def choose(
    feed: Feed, home: Path, instance: dg.DagsterInstance, version: str, tag: str | None = None, **config: Any
) -> dg.ExecuteInProcessResult:
    """The champion's materialisation with a release in its run config, as a person or a sensor starts it."""
    job = definitions(home, feed).resolve_job_def(job_name(feed))
    return job.execute_in_process(
        instance=instance,
        asset_selection=[key(feed, "temperature", "champion")],
        run_config={"ops": {"noaa__temperature__champion": {"config": {"release": version, **config}}}},
        raise_on_error=False,
        tags={champion.RETRAIN_TAG: tag} if tag else {},
    )


def rows(home: Path) -> list[dict[str, Any]]:
    lake = Lake(home)
    if not lake.exists("noaa/temperature/promotions"):
        return []
    with duckdb.connect() as con:
        table = lake.relation(con, "noaa/temperature/promotions").order("delivery").to_arrow_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def error(result: dg.ExecuteInProcessResult) -> str:
    """The failure's own sentence, not one that stands behind it; nothing is worth a second attempt."""
    (failed,) = result.get_step_failure_events()
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert "Traceback" not in str(told.description)
    return str(told.description)


@pytest.fixture
def two(home: Path) -> tuple[str, str]:
    """Two releases; the second serves."""
    return publish(home, 1), publish(home, 2)


def test_rollback_serves_old_release_and_history_keeps_both(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    old, new = two
    result = choose(noaa, home, instance, old)
    assert result.success
    pointer = release.current(home, *KEY)
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (old, new)
    assert release.versions(home, *KEY) == [old, new]
    (row,) = rows(home)
    assert row["reason"] == f"rolled back to {old} from {new}"
    assert (row["version"], row["incumbent"], row["promoted"], row["test_rows"]) == (old, new, True, None)
    shown = metadata(result, key(noaa, "temperature", "champion"))
    assert (shown["release"], shown["decision"], shown["status"]) == (old, row["reason"], "computed")
    assert shown["verdict"] == row["reason"], "and no verdict of an older trial"
    assert row["hold"] == shown["hold"] == str(pointer.hold)
    assert shown["hold"].endswith("until it is lifted")
    table = shown["releases"].splitlines()
    assert [new in table[2], old in table[3]] == [True, True], "newest first"
    assert "serving; a person has held it since" in table[3]


def test_repeated_rollback_changes_nothing(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    assert choose(noaa, home, instance, two[0]).success
    before = release.current(home, *KEY)
    again = choose(noaa, home, instance, two[0])
    assert again.success
    assert metadata(again, key(noaa, "temperature", "champion"))["status"] == "unchanged"
    assert release.current(home, *KEY) == before
    assert len(rows(home)) == 1


def test_rollbacks_back_and_forth_are_recorded(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    for version in (two[0], two[1], two[0]):
        assert choose(noaa, home, instance, version).success
    assert [row["version"] for row in rows(home)] == [two[0], two[1], two[0]]


def test_run_tag_gives_reason(noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]) -> None:
    third = release.write(home, manifest(3), {"model.onnx": graph(3.0)})
    release.challenge(home, *KEY, third)
    tag = f"shadow: {third} is better on 400 live requests, p = 0.003"
    assert choose(noaa, home, instance, third, tag, automatic=True).success
    (row,) = rows(home)
    assert row["hold"] is None
    assert (row["reason"], row["retrain_reason"], row["challenger"], row["incumbent"]) == (tag, tag, third, two[1])
    assert release.challenger(home, *KEY) is None


def test_unknown_release_is_refused_with_known_ones(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    before = release.current(home, *KEY)
    result = choose(noaa, home, instance, "0009-00000009")
    assert not result.success
    assert f"there is no release '0009-00000009' of noaa/temperature; the releases of noaa/temperature: {two[0]}, {two[1]}" in error(result)  # fmt: skip # noqa: E501
    assert release.current(home, *KEY) == before
    assert rows(home) == []


def test_damaged_release_is_refused_and_current_one_serves(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    damage(release.folder(home, *KEY) / two[0] / "model.onnx")
    before = release.current(home, *KEY)
    result = choose(noaa, home, instance, two[0])
    assert not result.success
    assert "is damaged: the sha256 of model.onnx" in error(result)
    assert release.current(home, *KEY) == before


def test_interrupted_rollback_is_completed_by_next(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise AeroCastError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(table, "record_choice", full)
        assert not choose(noaa, home, instance, two[0]).success
    assert release.current(home, *KEY).version == two[0]
    assert choose(noaa, home, instance, two[0]).success
    (row,) = rows(home)
    assert row["reason"] == f"rolled back to {two[0]} from {two[1]}"


def test_hold_yields_to_user_and_not_to_loop(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    old, new = two
    third = release.write(home, manifest(3), {"model.onnx": graph(3.0)})
    assert choose(noaa, home, instance, old, hold_for="P7D").success
    pointer = release.current(home, *KEY)
    assert pointer is not None
    assert pointer.hold is not None
    assert pointer.hold.until is not None
    assert pointer.hold.until - pointer.hold.since == timedelta(days=7)
    proven = choose(noaa, home, instance, third, "shadow: better", automatic=True)
    assert f"release {third} of noaa/temperature cannot replace the champion: a person has held it" in error(proven)
    assert release.current(home, *KEY) == pointer
    assert choose(noaa, home, instance, new).success, "a person chooses again"
    assert rows(home)[-1]["reason"] == f"rolled forward to {new} from {old}"
    lifted = choose(noaa, home, instance, "", lift=True)
    assert lifted.success
    assert "hold" not in metadata(lifted, key(noaa, "temperature", "champion"))
    row = rows(home)[-1]
    assert (row["promoted"], row["hold"], row["version"]) == (False, None, new)
    assert "was lifted" in row["reason"]
    again = choose(noaa, home, instance, "", lift=True)
    assert metadata(again, key(noaa, "temperature", "champion"))["status"] == "unchanged"
    assert choose(noaa, home, instance, third, "shadow: better", automatic=True).success


def test_invalid_hold_duration_changes_nothing(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, two: tuple[str, str]
) -> None:
    for text in ("a week", "-P1D", "PT0S"):
        assert f"hold_for: '{text}' must be a duration" in error(choose(noaa, home, instance, two[0], hold_for=text))
    assert release.current(home, *KEY).version == two[1]
