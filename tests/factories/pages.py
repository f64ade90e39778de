"""A home in which a page has all to show: readings, forecasts with outcomes, drift, decisions, what was refused."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np

from aerocast.contracts import alarms, anomalies, declared, drift_state, loop_notes
from aerocast.contracts.alarms import AlarmState, Condition, Judgement
from aerocast.contracts.anomalies import Anomaly, AnomalyState
from aerocast.contracts.drift_state import Diagnosis, DriftState, Evidence, Fault, Heat, Shadow
from aerocast.contracts.loop_notes import (
    DecisionNotes,
    PastDecision,
    QuarantineNotes,
    Refusal,
    Refused,
    RetrainNotes,
    RetrainRun,
)
from aerocast.contracts.manifest import StationInfo
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.releases import release
from tests.factories.feeds import declaration
from tests.factories.history import past, write_months
from tests.factories.releases import NAMES, STATIONS, graph, manifest
from tests.factories.tails import NEWEST, write_tail

ZONE = "America/New_York"
PLACES = {"JFK": (40.6398, -73.7789), "LGA": (40.7772, -73.8726), "EWR": (40.6925, -74.1687)}
FULL_NAMES = {"JFK": "John F. Kennedy", "LGA": "LaGuardia", "EWR": "Newark Liberty"}
SPAN = {"start": "2013-01-01T00:00:00Z", "end": "2013-12-30T19:00:00Z"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2013, 12, 30, 18, tzinfo=UTC)
PROOF = Evidence("error_ratio", "residuals", 2.4, 1.5, True, "errors are 2.4 times what the season allows")
WAITS = (
    "hot since 2013-12-29 06:00, but waiting until 2014-01-01 06:00: 3 days of the new regime are needed to learn from"
)


def days(station: str, rows: int = 240, newest: np.datetime64 = NEWEST) -> Grid:
    """Ten days with nights and days, without gaps."""
    time = newest + np.arange(1 - rows, 1) * np.timedelta64(3600, "s")
    hour = np.arange(rows)
    shift = list(PLACES).index(station) if station in PLACES else 0
    level = 38 + shift + 7 * np.sin(hour * (math.pi / 12)) + 4 * np.sin(hour / 31)
    values = np.stack([level, 9 + 3 * np.cos(hour / 5), 1015 + 4 * np.sin(hour / 40)], axis=1)
    return Grid(station, time, NAMES, values.astype(np.float32), np.zeros((rows, 3), dtype=np.float32))


def populate(home: Path, names: dict[str, str] | None = None) -> None:
    """Writes all of it for noaa; `names` are those of the stations."""
    own = {**FULL_NAMES, **(names or {})}
    for number in (1, 2):
        made = manifest(number)
        stations = tuple(StationInfo(each, own[each], ZONE) for each in STATIONS)
        feed = msgspec.structs.replace(made.feed, stations=stations)
        version = release.write(home, msgspec.structs.replace(made, feed=feed), {"model.onnx": graph()})
        release.promote(home, "noaa", "temperature", version)
    declare(home, own)
    write_tail(home, JFK=days("JFK"), LGA=days("LGA"), EWR=days("EWR", newest=NEWEST - np.timedelta64(9, "h")))
    _write_history(home)
    _write_loop(home)


def declare(home: Path, names: dict[str, str], targets: Sequence[str] = ("temperature",)) -> None:
    """Publishes the feed with its stations' places."""
    places = [
        {"id": each, "name": names[each], "latitude": north, "longitude": east, "timezone": ZONE}
        for each, (north, east) in PLACES.items()
    ]
    feed = declaration(home, name="noaa", stations=places, targets=list(targets), **SPAN)
    declared.publish(home, Feed.parse(feed))


def _write_history(home: Path) -> None:
    rows = []
    grid = days("JFK")
    for back in range(96, -1, -1):
        time, actual = NOW - back * HOUR, float(grid.values[-1 - back, 0])
        for horizon in (1, 6, 24):
            forecast = actual + horizon**0.5 * math.sin(back + horizon)
            rows.append(
                past(
                    f"{time:%Y-%m-%dT%H:%M:%SZ}",
                    horizon=horizon,
                    origin=f"{time - horizon * HOUR:%Y-%m-%dT%H:%M:%SZ}",
                    issued_at=f"{time - horizon * HOUR:%Y-%m-%dT%H:%M:%S.000Z}",
                    forecast=round(forecast, 2),
                    lower=round(forecast - 2 * horizon**0.5, 2),
                    upper=round(forecast + 2 * horizon**0.5, 2),
                    actual=round(actual, 2),
                    error=round(actual - forecast, 2),
                    persistence=round(actual + 1.4 * horizon**0.5, 2),
                    seasonal_naive=round(actual - 3.1, 2),
                    id=f"{back}-{horizon}",
                )
            )
    write_months(home, rows)


def _write_loop(home: Path) -> None:
    judged = tuple(
        Diagnosis("temperature", each, verdict, NOW, NOW - 2 * DAY, rmse, 1.6, 0.8, 96, evidence)
        for each, verdict, rmse, evidence in (
            ("JFK", "concept_drift", 3.9, (PROOF,)),
            ("LGA", "ok", 1.5, ()),
            ("EWR", "sensor_fault", 1.7, ()),
        )
    )
    fault = Fault("EWR", "pressure", "stuck", NOW - DAY, None, "the same value in 24 steps")
    heat = Heat("temperature", hot=True, edges=1, warm=3, since=NOW - DAY, onset=NOW - 2 * DAY, rmse=3.9)
    beside = Shadow("temperature", "0003-00000003", "0002-00000002", 120, 0.04, 0.03)
    state = DriftState("noaa", NOW, datetime.now(UTC), judged, (fault,), (heat,), (beside,))
    drift_state.document(home, "noaa").write(state)
    sentence = "noaa: EWR is silent: its newest reading is 9 hours old"
    silent = Condition("station_silent", sentence, "noaa", station="EWR")
    found = alarms.observe(AlarmState(), "platform", Judgement((silent,)), datetime.now(UTC) - HOUR)
    alarms.document(home, "platform").write(found)
    runs = {"temperature": RetrainRun("5a4f9c0b", "drift temperature", "refused", NOW - DAY, NOW)}
    loop_notes.retraining(home, "noaa").write(RetrainNotes("noaa", NOW, {"temperature": WAITS}, runs))
    test = {"test_rows": 5238, "test_start": NOW - 70 * DAY, "test_end": NOW}
    made = (
        PastDecision(NOW - DAY, "refused", "Refused: no better than what serves", version="0002-00000002",
                     retrain_reason="schedule", skill=0.281, composite=0.63, gain=0.004, p_value=0.41, **test),
        PastDecision(NOW - 30 * DAY, "promoted", "Promoted: linear has composite 0.62 and skill 0.28", promoted=True,
                     version="0002-00000002", incumbent="0001-00000001", retrain_reason="drift temperature",
                     skill=0.284, composite=0.62, gain=0.061, p_value=0.002, **test),
    )  # fmt: skip
    loop_notes.decisions(home, "noaa", "temperature").write(DecisionNotes("noaa", "temperature", made))
    refused = Refused(
        "EWR", NOW - 9 * DAY, "windspeed", "1048.36", "range", "windspeed is 1048.36 mph, outside 0 to 150"
    )
    counts = (Refusal("EWR", "windspeed", "range", 3, NOW - 9 * DAY), Refusal("JFK", None, "future", 1, NOW))
    loop_notes.quarantine(home, "noaa").write(QuarantineNotes("noaa", NOW, ("2013-12",), counts, (refused,)))
    detail = "temperature 58.1 degF, 4.7 usual deviations above what the days before suggest"
    events = (
        Anomaly(
            "LGA",
            NOW - 5 * DAY,
            NOW - 4.5 * DAY,
            NOW - 4.5 * DAY,
            NOW - 4.8 * DAY,
            3.4,
            "weather",
            {"temperature": 1.0},
            detail,
        ),
        Anomaly(
            "JFK",
            NOW - DAY / 2,
            None,
            NOW,
            NOW - DAY / 4,
            4.1,
            "unknown",
            {"temperature": 0.8, "pressure": 0.2},
            detail,
        ),
    )
    anomalies.document(home, "noaa").write(AnomalyState("noaa", NOW, events))
