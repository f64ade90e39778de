"""candidates: one freshly trained model of each kind, the baselines among them, each an asset of its own.

One step trains those of a target: Dagster takes as long to define a step as to define all that it makes.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.common.lineage import code_version, config_hash
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import Parameters, Untrainable, model
from aerocast_assets.assets.describe import drawing, report, status
from aerocast_assets.assets.step import step
from aerocast_assets.assets.tracked import link, recorded
from aerocast_assets.assets.training_set import content
from aerocast_assets.batch import one_by_one
from aerocast_assets.keys import ONCE, TRAINING, key, models, table
from aerocast_assets.labels import Draft, feed_spec
from aerocast_assets.resources import Platform, TrainingConfig

if TYPE_CHECKING:
    from aerocast.models.candidates import Candidate


def code(kind: str) -> str:
    """Version of what trains, exports and calibrates this kind: each is imported by its name."""
    return code_version("aerocast.models.trainer", model(kind).__module__)


def parameters(feed: Feed, kind: str) -> dict[str, Any]:
    """What trains this kind: what the declaration says, and the defaults for what it leaves open."""
    parsed: Parameters = model(kind).parse(feed.candidates.get(kind, {}))
    return parsed.model_dump(mode="json")


def step_name(feed: Feed, target: str) -> str:
    """The step that trains the candidates of a target; run config is by this name."""
    return f"{feed.name}__{target}__candidates"


def candidates(feed: Feed, target: str) -> dg.AssetsDefinition:
    """`<feed>/<target>/<kind>`: trained once per config hash; MLflow keeps its parameters, curves and graph.

    `sequence` is made like a candidate but does not compete: its graph answers short sequences beside the champion.
    """
    kinds = {key(feed, target, kind): kind for kind in models(feed)}

    files = tuple(str(sys.modules[model(kind).__module__].__file__) for kind in models(feed))

    @step(
        *(_spec(feed, target, kind) for kind in models(feed)), name=step_name(feed, target), pool=TRAINING, files=files
    )
    def asset(
        context: dg.AssetExecutionContext, config: TrainingConfig, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None]]:
        train = partial(_materialize, context, config, platform, feed, target)
        selection = {kind: partial(train, kind) for each, kind in kinds.items() if each in context.selected_asset_keys}
        yield from one_by_one(selection, context.log)

    return asset


def _spec(feed: Feed, target: str, kind: str) -> Draft:
    forecaster = model(kind)
    return feed_spec(
        feed,
        kind,
        target,
        deps=[key(feed, target, "training_set")],
        kinds={"mlflow", *(["onnx"] if forecaster.serves else [])},
        code_version=code(kind),
        description=f"{forecaster.title} for {target} at {', '.join(map(str, feed.horizons))} steps, trained on all "
        f"stations. {forecaster.description}",
        automation_condition=ONCE,
    )


def _materialize(
    context: dg.AssetExecutionContext, config: TrainingConfig, platform: Platform, feed: Feed, target: str, kind: str
) -> dg.MaterializeResult[None]:
    """Trains one kind, unless it was trained from the same before."""
    from aerocast.models import candidates
    from aerocast.models.splits import parse_since
    from aerocast.reporting import plots

    own, data_version = key(feed, target, kind), content(platform.lake, feed, target)
    trained = candidates.read_candidate(platform.root, feed.name, target, kind)
    # What drift trained for its regime stays good for as long as the rows do: a plain run keeps it.
    since = parse_since(config.since)
    regimes = [since] if since or not trained else [None, trained.since]
    versions = [_version(feed, target, kind, data_version, regime, platform.hash_salt) for regime in regimes]
    version = versions[0]
    metadata: dict[str, Any] = dict(status(None))
    figure = None
    if trained and trained.config_hash in versions and not config.force:
        version = trained.config_hash
        context.log.info(f"{kind} is unchanged: trained before from the same rows (config_hash {version[:8]})")
    else:
        try:
            trained, curves = _train(context, platform, feed, target, kind, (version, data_version), since)
        except Untrainable as lack:
            # All else goes on without it, or with the one that there is.
            context.log.warning(f"{kind} is not trained: {lack}")
            return dg.MaterializeResult(
                asset_key=own, metadata={"lacking": str(lack)}, data_version=dg.DataVersion(version)
            )
        candidates.write_candidate(platform.root, trained)
        metadata |= status(trained)
        context.log.info(f"{kind} is trained on {trained.rows} rows in {trained.seconds:.1f} s")
        if curves:
            figure = plots.curves(curves, f"{model(kind).title}: validation")
    metadata |= drawing(platform, report(platform.root, feed.name, target, kind), "curves", figure)
    return dg.MaterializeResult(
        asset_key=own, metadata=_metadata(platform, trained) | metadata, data_version=dg.DataVersion(version)
    )


def configuration(feed: Feed, target: str, kind: str) -> dict[str, Any]:
    """What a candidate depends on besides rows: its parameters, the declaration and code."""
    from aerocast.features.grid import WindowSpec

    spec = WindowSpec.of(feed, target)
    return {
        "kind": kind,
        "params": parameters(feed, kind),
        "spec": msgspec.to_builtins(spec),
        "split": feed.split.model_dump(mode="json"),
        "coverage": feed.promotion.coverage,
        "quantiles": feed.promotion.quantiles,
        "bounds": feed.column(target).bounds,
        "gaps": [feed.gap_policy.max_steps, *(feed.gap_of(name) for name in spec.inputs)],
        "code": code(kind),
    }


def _version(feed: Feed, target: str, kind: str, data_version: str, since: datetime | None, salt: str) -> str:
    """The config hash of a candidate: everything that it depends on."""
    regime = since.isoformat() if since else None
    return config_hash(**configuration(feed, target, kind), data=data_version, since=regime, salt=salt)


def _train(
    context: dg.AssetExecutionContext,
    platform: Platform,
    feed: Feed,
    target: str,
    kind: str,
    hashes: tuple[str, str],
    since: datetime | None,
) -> tuple["Candidate", list[tuple[int, dict[str, float]]]]:
    """Trains, says at each epoch what it sees, and notes it in MLflow; the candidate and its curves."""
    from aerocast.models import trainer
    from aerocast.models.tracking import Curves

    curves = Curves()

    def log(step: int, metrics: Mapping[str, float]) -> None:
        curves.steps.append((step, dict(metrics)))
        context.log.debug(f"{kind} {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    lake, windows = platform.lake, table(feed, target, "windows")
    versions = {layer: lake.version(table(feed, layer)) or 0 for layer in ("raw", "bronze", "silver")}
    versions["windows"] = lake.version(windows) or 0
    with platform.sql() as con:
        relation = lake.relation(con, windows, version=versions["windows"])
        candidate = msgspec.structs.replace(
            trainer.train(feed, target, kind, relation, log, since),
            config_hash=hashes[0],
            data_version=hashes[1],
            delta_versions=versions,
            code_version=code(kind),
            parameters=parameters(feed, kind),
        )
        return recorded(context, platform.root, candidate, curves), curves.steps


def _metadata(platform: Platform, candidate: "Candidate") -> dict[str, Any]:
    regime = {"since": str(candidate.since)} if candidate.since else {}
    return regime | {
        "rows": candidate.rows,
        "trained_from": str(candidate.start),
        "trained_to": str(candidate.end),
        "seconds": round(candidate.seconds, 2),
        **{name: round(value, 4) for name, value in candidate.validation.items()},
        "config_hash": candidate.config_hash,
        "graph_bytes": len(candidate.graph),
        **link(platform, candidate.mlflow_run_id),
    }
