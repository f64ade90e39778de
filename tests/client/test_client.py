"""The client against a real server: each question's table, its types, and what is refused."""

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from aerocast.client import Client, ClientError, NoAnswer, RequestRefusal, tables
from serving.anomalies import AnomalyEvent
from serving.history_schemas import PastForecast
from tests.client.conftest import DAY, HISTORY, NOW, PAST
from tests.factories.releases import STATIONS, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server

HOUR = timedelta(hours=1)
NUMBERS = (pa.types.is_floating, pa.types.is_integer)
HEAVY = {"torch", "dagster", "pandas", "duckdb", "deltalake", "mlflow", "litestar", "onnxruntime", "xgboost", "scipy"}


def test_import_is_light() -> None:
    code = "import sys, aerocast.client; print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & {*done.stdout.split()} == set()


def test_every_horizon_and_quantile_is_a_typed_row(client: Client) -> None:
    answer = client.predict("noaa", "JFK")
    assert answer["horizon"].to_pylist() == [1, 6, 24]
    assert answer["time"].to_pylist() == [datetime(2013, 12, 30, 18, tzinfo=UTC) + at * HOUR for at in (1, 6, 24)]
    quantiles = [name for name in answer.column_names if name.startswith("q0.")]
    assert len(quantiles) >= 2
    assert quantiles == sorted(quantiles, key=lambda name: float(name[1:]))
    assert answer.schema.field("time").type == pa.timestamp("us", "UTC")
    assert {answer.schema.field(name).type for name in ("value", "lower", "upper", *quantiles)} == {pa.float64()}
    for row in answer.to_pylist():
        assert row["lower"] <= row["value"] <= row["upper"]
        assert [row[name] for name in quantiles] == sorted(row[name] for name in quantiles)
    assert set(answer["target"].to_pylist()) == {"temperature"}
    assert client.predict("noaa", "LGA")["degraded"].to_pylist() == [True] * 3


def test_tables_become_data_frames(client: Client) -> None:
    frame = client.predict("noaa", "JFK").to_pandas()
    assert str(frame["time"].dtype).endswith("UTC]")
    assert frame["value"].dtype == "float64"


def test_history_has_all_pages_in_order(client: Client) -> None:
    whole = client.history("noaa", "JFK")
    assert len(whole) == HISTORY
    times = whole["time"].to_pylist()
    assert times == sorted(set(times))
    some = client.history("noaa", "JFK", PAST + 2 * HOUR, f"{PAST + 5 * HOUR:%Y-%m-%dT%H:%M:%SZ}")
    assert some["time"].to_pylist() == [PAST + at * HOUR for at in (2, 3, 4)]
    assert some["actual"].to_pylist() == [41.0] * 3
    assert len(client.history("noaa", "EWR")) == 0
    assert client.history("noaa", "EWR").schema == whole.schema


def test_tables_have_every_field_of_the_api() -> None:
    assert tables.HISTORY.names == [*PastForecast.__struct_fields__]
    assert tables.ANOMALIES.names == [*AnomalyEvent.__struct_fields__]


def test_readings_are_what_was_measured(client: Client) -> None:
    answer = client.readings("noaa", "LGA", steps=4)
    assert answer["temperature"].to_pylist() == pytest.approx([51.0, 51.25, 51.5, 51.75])
    assert answer["pressure"].null_count == 3
    assert answer.schema.field("temperature").metadata == {b"unit": b"degF"}
    assert answer.schema.field("pressure").type == pa.float64()
    every = client.readings("noaa", steps=2)
    assert every["station"].to_pylist() == [station for station in STATIONS for _ in range(2)]


def test_anomalies_by_station_and_time(client: Client) -> None:
    answer = client.anomalies("noaa")
    assert answer["station"].to_pylist() == ["JFK", "EWR"]
    assert answer["end"].to_pylist() == [NOW - 8 * DAY, None]
    assert answer["columns"].to_pylist()[1] == [("pressure", 0.75)]
    assert client.anomalies("noaa", "EWR", NOW - 2 * DAY, NOW)["seen_at"].to_pylist() == [["LGA"]]
    assert client.anomalies("noaa", end=NOW - 20 * DAY).schema == tables.ANOMALIES


def test_explanation_sums_to_forecast(client: Client) -> None:
    answer = client.explain("noaa", "JFK").to_pandas()
    forecasts = dict(client.predict("noaa", "JFK").select(["horizon", "value"]).to_pandas().itertuples(index=False))
    for horizon, rows in answer.groupby("horizon"):
        assert rows["base"].iloc[0] + rows["value"].sum() == pytest.approx(rows["forecast"].iloc[0], abs=1e-2)
        assert rows["forecast"].iloc[0] == pytest.approx(forecasts[horizon])


def test_feeds_name_stations_and_targets(client: Client) -> None:
    rows = client.feeds().to_pylist()
    assert [row["station"] for row in rows] == [*STATIONS]
    assert rows[0]["targets"] == ["temperature"]
    assert rows[0]["newest_reading"] == datetime(2013, 12, 30, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ask", "status", "field", "value"),
    [
        (lambda client: client.predict("noaa", "XXX"), 422, "station", "XXX"),
        (lambda client: client.explain("noaa", "JFK", "rain"), 422, "target", "rain"),
        (lambda client: client.history("noaa", "JFK", "yesterday"), 400, "from", "yesterday"),
        (lambda client: client.anomalies("noaa", end=datetime(2024, 1, 1)), 400, "to", "2024-01-01T00:00:00"),  # noqa: DTZ001
        (lambda client: client.history("noaa", "a+b c?"), 422, "station", "a+b c?"),
    ],
)
def test_refusal_carries_the_problem(
    client: Client, ask: Callable[[Client], object], status: int, field: str, value: str
) -> None:
    with pytest.raises(RequestRefusal) as found:
        ask(client)
    assert (found.value.status, found.value.field, found.value.value) == (status, field, value)
    assert found.value.rule
    assert found.value.type.startswith("urn:aerocast:problem:")
    assert str(found.value) == found.value.document["detail"]


def test_busy_server_is_asked_again_for_as_long_as_patience_lasts(tmp_path: Path) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    limit = {"AEROCAST_MOST_READS": "30"}
    with Server(tmp_path, settings=limit) as server, Client(server.url, patience=0) as hasty:
        with pytest.raises(RequestRefusal) as found:
            _ = [hasty.feeds() for _ in range(100)]
        assert found.value.status == 429
        assert found.value.retry_after
        with Client(server.url, patience=600) as patient:
            assert [len(patient.feeds()) for _ in range(3)] == [3, 3, 3]


def test_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    publish(tmp_path)
    with Server(tmp_path, settings={"AEROCAST_TOKEN": "secret"}) as server:
        reading = [{"station": "JFK", "time": "2024-01-01T00:00:00Z"}]
        with Client(server.url) as stranger, pytest.raises(RequestRefusal) as found:
            stranger.observe("noaa", reading)
        assert found.value.status == 401
        with Client(server.url, token="secret") as known, pytest.raises(RequestRefusal) as found:
            known.observe("unheard", reading)
        assert found.value.status != 401
        assert "secret" not in repr(known)


def test_silence_is_an_error_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with Client(f"http://127.0.0.1:{port}", timeout=0.2) as client, pytest.raises(NoAnswer, match="Timeout"):
            client.feeds()
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(ClientError, match="no server answers"):
        client.feeds()
