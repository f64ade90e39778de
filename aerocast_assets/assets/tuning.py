"""tuning: better parameters for the declared candidates, looked for before the rows that judge; people start it.

Nothing is taken over: a person copies what is proposed into the declaration, which stays the only place that says what
is trained. A backtest and the next trial judge it there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import code_version, config_hash
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import model
from aerocast_assets.assets import candidates
from aerocast_assets.assets.describe import preview, status
from aerocast_assets.assets.training_set import content
from aerocast_assets.keys import key, table
from aerocast_assets.labels import Draft, feed_spec
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.experiments.tuning import Study

CODE = code_version("aerocast.experiments.tuning")
NAME = "tuning"
SHOWN = 5  # best trials
KEY = 16  # digits of a journal's name


def spec(feed: Feed, target: str) -> Draft:
    """`<feed>/<target>/tuning`."""
    return feed_spec(
        feed,
        NAME,
        target,
        deps=[key(feed, target, "training_set")],
        kinds={"optuna"},
        code_version=CODE,
        description=f"Parameters that forecast {target} better in folds before the rows that judge, to be copied into "
        f"the declaration; of {', '.join(feed.tuned_kinds) or 'no kind'}. Made when people ask.",
    )


def materialize(
    context: dg.AssetExecutionContext, config: Refresh, platform: Platform, feed: Feed, target: str
) -> dg.MaterializeResult[None]:
    """Goes on with the study of each kind until its budget is spent; `force` begins them again."""
    from aerocast.experiments.tuning import tune
    from aerocast.features.grid import WindowSpec
    from aerocast.tables import training

    window, data = WindowSpec.of(feed, target), content(platform.lake, feed, target)
    with platform.sql() as con:
        samples = training.load(window, platform.lake.relation(con, table(feed, target, "windows")))
    versions = {kind: _version(feed, target, kind, data, platform.hash_salt) for kind in feed.tuned_kinds}
    trials, metadata = [0], dict[str, Any]()

    def say(text: str) -> None:
        trials[0] += 1
        context.log.info(text)

    for kind, version in versions.items():
        journal = _journal(platform, feed, target, kind, version, begin=config.force)
        metadata |= _metadata(tune(feed, window, samples, kind, journal, say))
    return dg.MaterializeResult(
        asset_key=key(feed, target, NAME),
        metadata=status(trials[0]) | metadata,
        data_version=dg.DataVersion(config_hash(studies=versions)),
    )


def _version(feed: Feed, target: str, kind: str, data: str, salt: str) -> str:
    """What a study depends on; a larger budget goes on with it."""
    return config_hash(
        candidate=candidates.configuration(feed, target, kind),
        tuning=feed.tuning.model_dump(mode="json", include={"folds", "past", "seed"}),
        searches=model(kind).searches(),
        data=data,
        code=CODE,
        salt=salt,
    )


def _journal(platform: Platform, feed: Feed, target: str, kind: str, version: str, *, begin: bool) -> Path:
    """The journal of a study, beside which those of other rows or declarations are removed."""
    folder = Path(platform.root) / NAME / feed.name / target
    own = folder / f"{kind}-{version[:KEY]}.journal"
    for each in folder.glob(f"{kind}-*"):
        if begin or not each.name.startswith(own.name):
            each.unlink(missing_ok=True)
    return own


def _metadata(study: "Study") -> dict[str, Any]:
    import yaml

    proposal = {"candidates": {study.kind: study.best.values}}
    text = yaml.safe_dump(proposal, sort_keys=False) if study.best != study.declared else ""
    return {
        study.kind: study.sentence,
        **({f"{study.kind}_declaration": dg.MetadataValue.md(f"```yaml\n{text}```")} if text else {}),
        f"{study.kind}_trials": preview(_rows(study)),
    }


def _rows(study: "Study") -> Sequence[dict[str, Any]]:
    """The declared parameters and the best trials."""
    rows = [("declared", study.declared), *((f"{at}.", each) for at, each in enumerate(study.trials[:SHOWN], 1))]
    return [{"trial": name, "error": f"{each.error:.4f}", **each.values} for name, each in rows]
