"""From a release back to the very rows it was trained on: time travel in its windows table, checked by their content.

The manifest says which version of the table was read, a digest of what was read, and how the rows were split.
"""

from typing import TYPE_CHECKING

import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_numpy
from aerocast.contracts.manifest import Manifest, TrainingRows
from aerocast.features.dataset import Rows
from aerocast.models.splits import Cut, Role
from aerocast.models.trained_rows import digest
from aerocast.tables.training import Samples, matrix, outcome

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from aerocast.lake import LakeReader

LAYER = "windows"


def training_rows(con: "duckdb.DuckDBPyConnection", lake: "LakeReader", manifest: Manifest) -> "pa.Table":
    """The rows that a release was trained on: `station`, `time`, `role`, its features, its outcomes; by time, station.

    `role` is what each row was used for (`Role`); all that the training read is there, in the order
    in which it was read.

    Raises:
        AeroCastError: the release does not say which rows they were, their version is no longer readable, or what is
            read is not what was trained on.
    """
    import duckdb
    import pyarrow as pa

    said, name = manifest.lineage.rows, f"{manifest.feed.name}/{manifest.target}/{LAYER}"
    version = manifest.lineage.delta_versions.get(LAYER)
    if said is None or version is None:
        raise AeroCastError(f"{_called(manifest)} does not say which rows it was trained on: it was made before that")
    features = list(manifest.graphs.station.features)
    outcomes = [outcome(manifest.window, horizon) for horizon in manifest.horizons]
    names = ["station", "time", *features, *outcomes]
    try:
        relation = lake.relation(con, name, version=version)
        missing = sorted(set(names) - set(relation.columns))
        stored = relation.select(*names).order("time, station").to_arrow_table() if not missing else None
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise AeroCastError(f"{_called(manifest)}: version {version} of {name} cannot be read back: {reason}") from None
    samples = None
    if stored is not None:
        samples = Samples(
            station=np.array(stored["station"].to_pylist(), dtype=np.str_),
            time=stored["time"].cast(pa.timestamp("s", "UTC")).to_numpy().astype("datetime64[s]"),
            rows=Rows(matrix(stored, features), matrix(stored, outcomes)),
            names=tuple(features),
        )
    if stored is None or samples is None or digest(samples) != said.digest:
        found = "columns are missing" if samples is None else f"{len(samples.time)} rows with another digest"
        raise AeroCastError(
            f"{_called(manifest)}: version {version} of {name} is not what it was trained on ({said.count} rows with"
            f" digest {said.digest[:12]}): {found}"
        )
    role = pa.array(_cut(said).of(samples.time).tolist(), pa.string())
    return stored.add_column(2, "role", role)


def _called(manifest: Manifest) -> str:
    return f"release {manifest.version} of {manifest.feed.name}/{manifest.target}"


def _cut(said: TrainingRows) -> Cut:
    """The split as it was made, whatever the code and the declaration would make of it today."""
    return Cut(
        start=to_numpy(said.start),
        end=to_numpy(said.end),
        test=to_numpy(said.test),
        block=np.timedelta64(said.block, "s"),
        reach=np.timedelta64(said.reach, "s"),
        roles=tuple(Role(role) for role in said.roles),
        earlier=None if said.earlier is None else to_numpy(said.earlier),
    )
