"""Data versions of partitioned assets, which say what Dagster's UI shows as stale: content, not when it was made.

A step gives one data version to all the months of a run (Dagster's own limit). So that a month which did not change
does not look changed because it came with other months, each event also says its own month's content, and where no
month of a run says anything new the version that they had stays.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.lineage import config_hash
from aerocast_assets._compat import DATA_VERSION_TAG

if TYPE_CHECKING:
    from aerocast.lake import LakeReader

CONTENT = "content"
_PAGE = 500


def contents(lake: "LakeReader", name: str, months: list[str], salt: str) -> dict[str, str]:
    """What each month of a table holds, as a short text; empty for one that was never made."""
    marks = lake.ledger(name).content(months)
    return {month: config_hash(content=marks[month].all, salt=salt)[:16] if month in marks else "" for month in months}


def data_version(context: dg.AssetExecutionContext, content: Mapping[str, str]) -> dg.DataVersion:
    """The run's data version, given what each of its months holds now; also told with each month's event."""
    for month, mark in content.items():
        context.add_asset_metadata({CONTENT: mark}, partition_key=month)
    before = _newest(context.instance, context.asset_key, set(content))
    versions = {version for version, _ in before.values()}
    same = all(month in before and before[month][1] == mark for month, mark in content.items())
    if same and len(versions) == 1:
        return dg.DataVersion(versions.pop())
    return dg.DataVersion(config_hash(months=dict(content)))


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey, months: set[str]) -> dict[str, tuple[str, str]]:
    """Data version and content of each month's newest materialisation, where both were said."""
    storage, event = instance.event_log_storage, dg.DagsterEventType.ASSET_MATERIALIZATION
    ids = sorted(storage.get_latest_storage_id_by_partition(key, event, months).values())
    newest = {}
    for start in range(0, len(ids), _PAGE):
        page = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + _PAGE])
        for record in instance.fetch_materializations(page, limit=_PAGE).records:
            entry = record.asset_materialization
            if (
                entry
                and entry.partition
                and entry.tags
                and CONTENT in entry.metadata
                and DATA_VERSION_TAG in entry.tags
            ):
                newest[entry.partition] = (entry.tags[DATA_VERSION_TAG], str(entry.metadata[CONTENT].value))
    return newest
