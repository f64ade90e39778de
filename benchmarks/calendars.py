"""What a declared calendar is worth: shared bikes forecast with a day's season alone, with weeks, and with holidays.

Washington's rentals of 2011 and 2012, hourly, on the newest fifth of the rows, which nothing was fitted, stopped or
calibrated on. The same series and rows each time; only the declaration's `seasons`, `window.look_back` and `holidays`
differ. Every model is trained and exported by the platform's own functions, and no parameter was chosen on these rows.
Figures: MAE in rentals an hour, by steps ahead. Target: a day ahead the best learned model errs 55 at most.
"""

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
from measuring.series import STATION, Series, bikes, declare, grid
from measuring.table import show, verdict
from numpy.typing import NDArray

from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import silent
from aerocast.models.inference import forecast
from aerocast.models.splits import Role
from aerocast.models.trainer import roles, train
from aerocast.tables import training

COLUMNS = {"rentals": ("dimensionless", 0.0, 5000.0), "temperature": ("degC", -40.0, 60.0)}
HORIZONS = (1, 6, 24)
WEEKS = {"seasons": ["P1D", "P7D"], "look_back": 672}
CALENDARS: Mapping[str, Mapping[str, Any]] = {
    "a day": {"seasons": ["P1D"], "look_back": 48},
    "day and week": WEEKS,
    "day, week, holidays": {**WEEKS, "holidays": "US-DC"},
}
KINDS = ("persistence", "seasonal_naive", "linear", "xgboost")
TARGET = 55.0


def declared(calendar: Mapping[str, Any]) -> Feed:
    feed = declare("bikes", COLUMNS, "rentals", horizons=HORIZONS, **calendar)
    return feed.model_copy(update={"candidates": {kind: {} for kind in KINDS}})


def errors(series: Series, feed: Feed) -> dict[str, NDArray[np.float64]]:
    """MAE (H,) of each kind on the test rows."""
    spec = WindowSpec.of(feed, "rentals")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        months = {str(month) for month in series.time.astype("datetime64[M]")}
        con.register("windows", training.table(spec, {STATION: grid(series, feed.gap_policy.max_steps)}, months))
        samples = training.load(spec, con.table("windows"))
        test = samples.take(roles(feed, spec, samples) == Role.TEST)
        own = {}
        for kind in KINDS:
            candidate = train(feed, "rentals", kind, con.table("windows"), silent)
            levels = forecast(candidate.graph, test.rows.x, test.names, candidate.features)
            own[kind] = np.nanmean(np.abs(levels - test.rows.y), axis=0, dtype=np.float64)
    return own


def main() -> None:
    series = bikes()
    table = {name: errors(series, declared(calendar)) for name, calendar in CALENDARS.items()}
    rows = [
        [f"{kind}: {name}", *(f"{error:.1f}" for error in table[name][kind])] for kind in KINDS for name in CALENDARS
    ]
    show("MAE, rentals an hour", ["model: seasons", *(f"{horizon} h" for horizon in HORIZONS)], rows)
    best = min(float(own[kind][-1]) for own in list(table.values())[1:] for kind in KINDS[2:])
    print(f"\na day ahead, best with a calendar: {best:.1f}; target {TARGET:.0f}: {verdict(best <= TARGET)}")


if __name__ == "__main__":
    main()
