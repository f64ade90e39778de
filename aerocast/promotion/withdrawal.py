"""Withdraws what a release has learned last: what its trial judged becomes a release of its own."""

from datetime import UTC, datetime

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.contracts.manifest import Graphs
from aerocast.releases import release
from aerocast.storage.home import Home


def write_as_judged(home: Home, feed: str, target: str, version: str, run_id: str, reason: str) -> str:
    """Writes the release of what was judged, and returns its version; a second call returns the same.

    Raises:
        AeroCastError: there is no such release, it serves what was judged, or the disk refuses.
    """
    own = release.load(home, feed, target, version)
    manifest, (station, sequence, trial) = own.manifest, msgspec.structs.astuple(own.manifest.graphs)
    if trial is None:
        raise AeroCastError(f"release {version} of {feed}/{target} serves what its trial judged")
    lineage = msgspec.structs.replace(
        manifest.lineage,
        run_id=run_id,
        config_hash=config_hash(as_judged=manifest.lineage.config_hash),
        training_end=manifest.lineage.end_before_trial,
        trial_end=None,
        created_at=datetime.now(UTC),
        reason=reason,
    )
    station = msgspec.structs.replace(station, intervals=trial.intervals)
    files = {station.file: own.files[trial.file]} | ({sequence.file: own.files[sequence.file]} if sequence else {})
    as_judged = msgspec.structs.replace(manifest, graphs=Graphs(station, sequence), lineage=lineage)
    return release.write(home, as_judged, files)
