"""A feed that begins empty: what waits for enough rows, without failing, and is made once there are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from aerocast_assets.keys import ONCE, WHEN_ENOUGH

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_what_waits_is_tried_each_hour_and_follows_once_it_is_there() -> None:
    enough = False

    @dg.asset
    def windows() -> None: ...

    @dg.asset(deps=[windows], automation_condition=WHEN_ENOUGH, output_required=False)
    def rows() -> Iterator[dg.MaterializeResult[None]]:
        if enough:
            yield dg.MaterializeResult()

    @dg.asset(deps=[rows], automation_condition=ONCE)
    def model() -> None: ...

    defs, asked = dg.Definitions([windows, rows, model]), list[tuple[int, list[str]]]()
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = None
        for minute in range(0, 190, 5):
            now = NOON + minute * MINUTE
            enough = minute > 130
            if minute % 10 == 0 and minute > 5:  # a live run makes windows and tries the rows no more than this
                job.execute_in_process(instance=instance, asset_selection=[windows.key])
            found = dg.evaluate_automation_conditions(defs, instance, cursor=cursor, evaluation_time=now)
            cursor = found.cursor
            wanted = [name for name in ("rows", "model") if found.get_num_requested(dg.AssetKey(name))]
            if wanted:
                asked.append((minute, wanted))
                done = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(name) for name in wanted])
                assert done.success, "too few rows are no failure"
    both = ["rows", "model"]  # one run: without rows the model is skipped
    assert asked[:4] == [(10, both), (45, both), (105, both), (165, both)], "when there are windows, and each hour"
    assert asked[4:] == [(180, ["rows"])], "from then on with each change, and the model not again"
