"""The champion's decisions: proven or refused, with their numbers; for a regime; a challenger kept in the shadow."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import clock, explanations
from aerocast.features.groups import feature_groups
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake, Slot
from aerocast.models import candidates
from aerocast.models.inference import runner
from aerocast.models.tracking import Tracker, model_name
from aerocast.promotion import table as promotions
from aerocast.promotion.decision import Decision
from aerocast.releases import release
from aerocast_assets.assets import tracked, verdicts
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform
from tests.factories.feeds import HOURS, small_feed, write_readings
from tests.harness.graph import dagster_instance, metadata, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

KEY = ("small", "temperature")
KINDS = ("linear", "persistence", "seasonal_naive", "sequence")
# The change that the made readings have in `changed`: days swing more from here on.
SINCE = datetime(2024, 3, 20, tzinfo=UTC)


def configured(**champion: Any) -> dict[str, Any]:
    """Run config: the champion's, and `since` for the candidates, too."""
    names = {"small__temperature__champion": champion}
    if "since" in champion:
        names["small__temperature__candidates"] = {"since": champion["since"]}
    return {"ops": {name: {"config": config} for name, config in names.items()}}


def retrain(feed: Feed, home: Path, instance: dg.DagsterInstance, **champion: Any) -> dg.ExecuteInProcessResult:
    """One run of candidates and champion, as drift starts it."""
    names = [key(feed, "temperature", name) for name in (*KINDS, "champion")]
    return refresh(feed, home, instance, selection=names, config=configured(**champion))


def decisions(home: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/temperature/promotions").order("delivery").to_arrow_table()
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def changed(path: Path) -> Path:
    """Readings whose days swing 2 degC until SINCE, and 7 after it."""
    calm = write_readings(path.with_name("calm.csv"), swing=2.0).read_text().splitlines()
    wild = write_readings(path.with_name("wild.csv"), swing=7.0).read_text().splitlines()
    stamp = f"{SINCE:%Y-%m-%dT%H:%M:%SZ}"
    rows = [new if old.split(",")[1:2] >= [stamp] else old for old, new in zip(calm[1:], wild[1:], strict=True)]
    path.write_text("\n".join([calm[0], *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Path]:
    """A home whose champion knows calm days up to SINCE, and a feed whose readings go on past it; tests copy it."""
    place = tmp_path_factory.mktemp("regime")
    home, readings = place / "home", place / "readings.csv"
    home.mkdir()
    feed = small_feed(readings, promotion={"shadow": 0.1})
    whole = changed(readings).read_text()
    stamp = f"{SINCE:%Y-%m-%dT%H:%M:%SZ}"
    head, *rows = whole.splitlines()
    readings.write_text("\n".join([head, *(row for row in rows if row.split(",")[1] < stamp)]) + "\n")
    with dagster_instance(home) as instance:
        layers = [key(feed, layer) for layer in ("raw", "bronze", "silver", "windows")]
        layers.append(key(feed, "temperature", "training_set"))
        models = [key(feed, "temperature", name) for name in (*KINDS, "champion")]
        assert refresh(feed, home, instance, selection=[*layers, *models]).success
        readings.write_text(whole)
        assert refresh(feed, home, instance, selection=layers).success
    return feed, home


@pytest.fixture
def feed(trained: tuple[Feed, Path]) -> Feed:
    return trained[0]


@pytest.fixture
def again(trained: tuple[Feed, Path], home: Path) -> Path:
    shutil.copytree(trained[1], home, dirs_exist_ok=True)
    return home


def test_retrain_for_regime_is_promoted_with_proof(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    now = datetime(2024, 4, 30, 12, tzinfo=UTC)
    clock.document(again, "small").write(clock.Clock(now, datetime.now(UTC), 0.0))
    before = release.current(again, *KEY)
    result = retrain(feed, again, instance, since=SINCE.isoformat())
    assert result.success
    after = release.current(again, *KEY)
    assert before is not None
    assert after is not None
    assert after.previous == before.version
    manifest = release.load(again, *KEY, after.version).manifest
    assert manifest.lineage.since == SINCE
    assert manifest.lineage.feed_time == now
    assert Tracker(again).client.get_model_version_by_alias(model_name(*KEY), "champion").tags["verdict"] == "promoted"

    shown = metadata(result, key(feed, "temperature", "champion"))
    assert shown["verdict"] == "promoted"
    assert shown["p_value"] <= 0.05
    assert shown["incumbent"] == before.version
    assert "/reports/small/temperature/proof.png" in shown["proof"]
    assert f"p = {shown['p_value']:.3g}" in shown["decision"]
    first, last = decisions(again)
    assert first["p_value"] is None
    assert (last["version"], last["challenger"], last["incumbent"]) == (after.version, after.version, before.version)
    assert (last["since"], last["p_value"]) == (SINCE, shown["p_value"])
    assert last["test_start"] > SINCE, "only the new regime judges"
    assert last["statistic"] > 1.6
    assert manifest.lineage.end_before_trial < last["test_start"] < manifest.lineage.training_end
    assert candidates.read_candidate(again, *KEY, "linear").since == SINCE

    # A plain run has nothing to do: what drift trained stays good for as long as the rows do.
    plain = retrain(feed, again, instance)
    assert plain.success
    for name in (*KINDS, "champion"):
        assert metadata(plain, key(feed, "temperature", name))["status"] == "unchanged", name
    assert release.current(again, *KEY) == after


def test_gain_explained_by_chance_becomes_shadow_challenger(
    feed: Feed, again: Path, instance: dg.DagsterInstance
) -> None:
    strict = feed.model_copy(update={"promotion": feed.promotion.model_copy(update={"max_p": 1e-300})})
    before = release.current(again, *KEY)
    result = retrain(strict, again, instance, since=SINCE.isoformat())
    assert result.success
    assert release.current(again, *KEY) == before, "the old release serves on"
    named = release.challenger(again, *KEY)
    assert named is not None
    assert release.load(again, *KEY, named.version).manifest.lineage.since == SINCE
    last = decisions(again)[-1]
    assert (last["promoted"], last["challenger"]) == (False, named.version)
    assert before is not None
    assert (last["version"], last["incumbent"]) == (before.version, before.version)
    assert "above max_p 1e-300" in last["reason"]
    shown = metadata(result, key(feed, "temperature", "champion"))
    assert (shown["verdict"], shown["challenger"]) == ("refused", named.version)
    versions = Tracker(again).client.search_model_versions(f"name='{model_name(*KEY)}'")
    refused = [found.tags["reason"] for found in versions if found.tags["verdict"] == "refused"]
    assert refused == [last["reason"]], "it stays registered, tagged with why"

    # The same again decides nothing and changes nothing.
    stamp = release.challenger_stamp(again, *KEY)
    assert retrain(strict, again, instance).success
    assert release.challenger_stamp(again, *KEY) == stamp
    assert len(decisions(again)) == 2

    # Proven on live requests, it is promoted by name, with the reason that the run carries.
    chosen = retrain(strict, again, instance, release=named.version)
    assert chosen.success
    assert release.current(again, *KEY).version == named.version
    assert release.challenger(again, *KEY) is None, "who serves challenges nobody"


def test_refused_candidate_without_shadow_share_is_not_released(
    feed: Feed, again: Path, instance: dg.DagsterInstance
) -> None:
    quiet = feed.model_copy(update={"promotion": feed.promotion.model_copy(update={"max_p": 1e-300, "shadow": 0.0})})
    assert retrain(quiet, again, instance, since=SINCE.isoformat()).success
    assert len(release.versions(again, *KEY)) == 1
    assert release.challenger(again, *KEY) is None
    assert decisions(again)[-1]["challenger"] is None


def test_invalid_regime_start_fails_and_champion_serves(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    before = release.current(again, *KEY)
    for since, why in (("soon", "is not a time"), ("2024-04-30T20:00:00Z", "are needed")):
        result = retrain(feed, again, instance, since=since)
        assert not result.success
        failed = {event.step_key: str(event.step_failure_data.error) for event in result.get_step_failure_events()}
        assert why in failed["small__temperature__candidates"]
    assert release.current(again, *KEY) == before


@pytest.mark.parametrize("broken", ["promote", "challenge"])
def test_failed_promotion_keeps_champion_and_next_run_completes_it(
    broken: str, feed: Feed, again: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    max_p = 0.05 if broken == "promote" else 1e-300
    feed = feed.model_copy(update={"promotion": feed.promotion.model_copy(update={"max_p": max_p})})
    before = release.current(again, *KEY)

    def full(*_: Any) -> None:
        raise AeroCastError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(release, broken, full)
        assert not retrain(feed, again, instance, since=SINCE.isoformat()).success
    assert release.current(again, *KEY) == before
    assert release.challenger(again, *KEY) is None
    assert len(decisions(again)) == 1, "nothing was decided"
    assert retrain(feed, again, instance, since=SINCE.isoformat()).success
    assert len(release.versions(again, *KEY)) == 2, "the release that was written is the one that is used"
    named = release.current(again, *KEY) if broken == "promote" else release.challenger(again, *KEY)
    assert named is not None
    assert named.version == release.versions(again, *KEY)[-1]


def test_promotions_table_without_proof_columns_is_extended(
    feed: Feed, again: Path, instance: dg.DagsterInstance
) -> None:
    """As step 1 wrote it: no p-value, no releases' names."""
    lake, name = Lake(again), "small/temperature/promotions"
    with duckdb.connect() as con:
        rows = lake.relation(con, name).to_arrow_table()
    new = ["p_value", "statistic", "incumbent", "challenger", "retrain_reason", "since", "delivery"]
    shutil.rmtree(lake.uri(name))
    lake.append(name, rows.drop_columns(new), Slot(promotions.SLOT, "old"))
    shown = verdicts.describe(Platform(home=str(again)), feed, "temperature")
    assert shown["verdict"] == "promoted"
    assert "p_value" not in shown
    assert retrain(feed, again, instance, since=SINCE.isoformat()).success
    old, last = decisions(again)
    assert old["p_value"] is None
    assert last["p_value"] is not None


def test_mlflow_shows_scores_rows_and_release_of_each_candidate(feed: Feed, again: Path) -> None:
    pointer, tracker = release.current(again, *KEY), Tracker(again)
    assert pointer
    for kind in KINDS:
        found = candidates.read_candidate(again, *KEY, kind)
        assert found
        run = tracker.client.get_run(found.mlflow_run_id)
        assert run.info.run_name == f"temperature {kind}"
        names = {f"test_{name}_{horizon}" for name in ("rmse", "mae", "skill", "coverage") for horizon in feed.horizons}
        assert names <= run.data.metrics.keys(), kind
        contexts = [tag.value for each in run.inputs.dataset_inputs for tag in each.tags]
        assert sorted(contexts) == ["evaluation", "training"]
    serves = release.load(again, *KEY, pointer.version).manifest
    run = tracker.client.get_run(serves.lineage.mlflow_run_id or "")
    horizons = ", ".join(map(str, feed.horizons))
    assert {"release": pointer.version, "verdict": "promoted", "horizons": horizons}.items() <= run.data.tags.items()
    link = f"[{pointer.version}](http://127.0.0.1:8000/models?feed=small&target=temperature)"
    assert link in run.data.tags["mlflow.note.content"]
    version = tracker.client.get_model_version_by_alias(model_name(*KEY), "champion")
    assert link in version.description
    assert version.run_id == run.info.run_id


def test_pages_link_to_mlflow(tmp_path: Path) -> None:
    shown = tracked.link(Platform(home=str(tmp_path)), "abc", "small.temperature")
    assert {name: value.url for name, value in shown.items()} == {
        "mlflow_run": "http://127.0.0.1:5000/#/runs/abc",
        "mlflow_model": "http://127.0.0.1:5000/#/models/small.temperature",
    }
    assert tracked.link(Platform(home=str(tmp_path)), None, "small.temperature") == {}


def test_each_kind_names_the_horizons_it_serves() -> None:
    """What the incumbent still serves is not the new candidate's, though of the same kind."""
    kinds, served_by = {1: "xgboost", 6: "gru", 24: "gru", 48: "persistence"}, {24: "gru of 0001-a", 48: "persistence"}
    decision = Decision(True, "by_horizon", "", kinds=kinds, served_by=served_by)
    horizons = {"by_horizon": "1, 6, 24, 48", "xgboost": "1", "gru": "6", "persistence": "48"}
    assert tracked.horizons_by_kind(decision, "by_horizon") == horizons
    alone = Decision(True, "gru", "", kinds={1: "gru", 6: "gru"})
    assert tracked.horizons_by_kind(alone, "gru") == {"gru": "1, 6"}


def test_champion_shows_what_it_looks_at_and_can_be_explained(feed: Feed, again: Path) -> None:
    pointer = release.current(again, *KEY)
    assert pointer
    shown = verdicts.describe(Platform(home=str(again)), feed, "temperature")
    assert shown["contributions"].url.endswith("/reports/small/temperature/contributions.png")
    assert Path(shown["contributions_file"].path).read_bytes().startswith(b"\x89PNG")
    made = release.load(again, *KEY, pointer.version)
    graphs = made.manifest.graphs
    assert graphs.sequence
    for graph in (graphs.station, graphs.sequence):
        rows = explanations.unpack(graph.typical, len(graph.features))
        assert len(rows) > 8
        levels = runner(made.files[graph.file])
        groups, owner = feature_groups(made.manifest.window, graph.features)
        base, parts = explanations.explain(levels, rows[:1], rows, owner)
        assert base + parts[0].sum(axis=0) == pytest.approx(levels(rows[:1])[0], abs=1e-3)
        assert np.abs(parts[0, groups.index("temperature, recent")]).max() > 0


def test_candidate_without_regime_is_read(feed: Feed, again: Path) -> None:
    path = candidates.candidate_path(again, *KEY, "linear")
    old = msgspec.msgpack.decode(path.read_bytes())
    del old["since"]
    path.write_bytes(msgspec.msgpack.encode(old))
    found = candidates.read_candidate(again, *KEY, "linear")
    assert found is not None
    assert found.since is None


def test_decision_fits_table_columns(feed: Feed) -> None:
    """Every field of a decision and its context has a typed column: an all-null first row must not decide it."""
    schema: pa.Schema = promotions._decision_schema()
    fields = {*promotions.Context.__struct_fields__, *Decision.__struct_fields__}
    assert fields <= set(schema.names)
    assert HOURS > 24 * 100, "the made readings reach past SINCE"
