"""Reads back the very rows a release was trained on, by time travel in its windows table, verified by their digest.

The manifest says which version of the table was read, a digest of what was read, and how the rows were split.
"""

import duckdb
import numpy as np
import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_numpy
from aerocast.contracts.manifest import Manifest, TrainingRows
from aerocast.features.dataset import Rows
from aerocast.lake import LakeReader
from aerocast.models.splits import Cut, Role
from aerocast.models.trainer import digest
from aerocast.tables.training import Samples, matrix, outcome

LAYER = "windows"


def training_rows(con: duckdb.DuckDBPyConnection, lake: LakeReader, manifest: Manifest) -> pa.Table:
    """The rows that a release was trained on: `station`, `time`, `role`, its features, its outcomes; by time, station.

    `role` is what each row was used for (`Role`); all that the training read is there, in that order.

    Raises:
        AeroCastError: the release does not say which rows they were, their version is no longer readable, or what is
            read is not what was trained on.
    """
    record, name = manifest.lineage.rows, f"{manifest.feed.name}/{manifest.target}/{LAYER}"
    version = manifest.lineage.delta_versions.get(LAYER)
    if record is None or version is None:
        raise AeroCastError(f"{_label(manifest)} does not say which rows it was trained on: it was made before that")
    features = list(manifest.graphs.station.features)
    outcomes = [outcome(manifest.window, horizon) for horizon in manifest.horizons]
    names = ["station", "time", *features, *outcomes]
    try:
        relation = lake.relation(con, name, version=version)
        absent = sorted(set(names) - set(relation.columns))
        table = relation.select(*names).order("time, station").to_arrow_table() if not absent else None
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise AeroCastError(f"{_label(manifest)}: version {version} of {name} cannot be read back: {reason}") from None
    samples = None
    if table is not None:
        samples = Samples(
            station=np.array(table["station"].to_pylist(), dtype=np.str_),
            time=table["time"].cast(pa.timestamp("s", "UTC")).to_numpy().astype("datetime64[s]"),
            rows=Rows(matrix(table, features), matrix(table, outcomes)),
            names=tuple(features),
        )
    if table is None or samples is None or digest(samples) != record.digest:
        difference = "columns are missing" if samples is None else f"{len(samples.time)} rows with another digest"
        raise AeroCastError(
            f"{_label(manifest)}: version {version} of {name} is not what it was trained on ({record.count} rows with"
            f" digest {record.digest[:12]}): {difference}"
        )
    role = pa.array(_split_of(record).of(samples.time).tolist(), pa.string())
    return table.add_column(2, "role", role)


def _label(manifest: Manifest) -> str:
    return f"release {manifest.version} of {manifest.feed.name}/{manifest.target}"


def _split_of(record: TrainingRows) -> Cut:
    """The split as the training made it, whatever the code and the declaration would make of it today."""
    return Cut(
        start=to_numpy(record.start),
        end=to_numpy(record.end),
        test=to_numpy(record.test),
        block=np.timedelta64(record.block, "s"),
        reach=np.timedelta64(record.reach, "s"),
        roles=tuple(Role(role) for role in record.roles),
        earlier=None if record.earlier is None else to_numpy(record.earlier),
    )
