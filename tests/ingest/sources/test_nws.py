"""The National Weather Service behind a real HTTP server: every recorded answer, and everything that can go wrong."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.sources import _nws_http, _nws_poll, _nws_readings
from aerocast.ingest.sources._nws_http import NwsClient, RefusedError
from aerocast.ingest.sources.nws import NwsSource
from aerocast.lake import Lake, Slot
from aerocast.tables.raw import Delivery, raw_schema
from aerocast_assets.feeds import find_feed
from tests import DATA, SHARED
from tests.harness.weather_service import Reply, Service, collection, observation

RECORDED = SHARED / "nws_api_recorded"
EXCERPT = DATA / "nws_api"
NOW = datetime(2026, 3, 4, 19, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERYTHING = {
    "temperature": "degC",
    "relativeHumidity": "percent",
    "windSpeed": "km/h",
    "windGust": "m/s",
    "windDirection": "degree",
    "barometricPressure": "hPa",
    "seaLevelPressure": "hPa",
    "precipitationLastHour": "mm",
    "visibility": "km",
}


class Time:
    """A clock that only sleeping moves, so that no test waits."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def client(self, service: Service, seconds: float = 120) -> NwsClient:
        return NwsClient(service.url, "AeroCast test", seconds=seconds, sleep=self.sleep, clock=lambda: self.now)


@pytest.fixture(scope="module")
def one_server() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def service(one_server: Service) -> Service:
    one_server.script.clear()
    one_server.asked.clear()
    return one_server


@pytest.fixture
def time() -> Time:
    return Time()


def feed(stations: Sequence[str] = ("KMSP",), fields: Mapping[str, str] = EVERYTHING, **source: Any) -> Feed:
    declared = find_feed("midwest").model_dump(mode="json")
    columns = [
        {"name": field.lower(), "field": field, "source_unit": unit, "unit": unit, "range": [-1e6, 1e6]}
        for field, unit in fields.items()
    ]
    declared |= {
        "stations": [{"id": station} for station in stations],
        "columns": columns,
        "start": "2015-01-01T00:00Z",
    }
    declared |= {"targets": ["temperature"], "window": {"steps": 5, "columns": ["temperature"], "look_back": 48}}
    declared["source"] |= source
    return Feed.parse(declared)


def poll(
    service: Service,
    declared: Feed | None = None,
    *,
    now: datetime = NOW,
    client: NwsClient | None = None,
    notes: list[str] | None = None,
    **more: Any,
) -> list[Delivery]:
    notes = [] if notes is None else notes
    declared = declared or feed()
    assert isinstance(declared.source, NwsSource)
    client = client or Time().client(service)
    return list(_nws_poll.poll(declared.source, declared, ReadRequest(now=now, notes=notes, **more), client))


def rows(deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    return [row for delivery in deliveries for row in delivery.table.to_pylist()]


def home(station: str = "KMSP") -> str:
    return f"/stations/{station}/observations"


# What was recorded


def recorded(place: Path = EXCERPT) -> list[Path]:
    return sorted(path for folder in ("raw", "restored", "pynws_edited") for path in (place / folder).glob("*.json"))


needs = pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded answers at {RECORDED} (AEROCAST_TEST_DATA)")


def status_of(path: Path) -> int:
    """The status that an answer came with, where that was not 200."""
    document = json.loads(path.read_bytes())
    status = document.get("status") or (document.get("@bundle") or {}).get("status")
    return status if isinstance(status, int) else 503 if document.get("features", ()) is None else 200


def reading(name: str, fields: Mapping[str, str] = EVERYTHING) -> dict[str, str]:
    """The first reading of a recorded answer, by field."""
    found = _nws_readings.parse_page((EXCERPT / name).read_bytes(), feed(fields=fields), "?").readings[0]
    return dict(zip(fields, found.values, strict=True))


def outcomes(place: Path, service: Service, time: Time) -> tuple[dict[str, list[str]], int]:
    """What became of each recorded answer, and how many readings with a time there are in all."""
    told: dict[str, list[str]] = {}
    count, client = 0, time.client(service)
    for path in recorded(place):
        service.script = {home(): [Reply(path.read_bytes(), status_of(path))]}
        try:
            answer = client.get(home(), attempts=1)
            found = _nws_readings.parse_page(answer.body, feed(), "KMSP")
            outcome = f"{len(found.readings)} readings"
            count += sum(reading.time is not None for reading in found.readings)
        except AeroCastError as error:
            outcome = str(error)
        told.setdefault(outcome, []).append(path.stem)
    return told, count


def test_recorded_answer_gives_readings_or_one_sentence(service: Service, time: Time) -> None:
    told, count = outcomes(EXCERPT, service, time)
    assert {outcome: sorted(names) for outcome, names in told.items()} == {
        "0 readings": [
            "stations_observations_empty",
            "stations_observations_noprop",
            "testing__PPIZ__observations",
        ],
        "1 readings": [
            "load-testing-ioc__KMSP__observations",
            "load-testing-ioc__KTEB__observations",
            "load-testing-ioc__OAMC1__observations",
            "stations_observations_other_unitcode",
            "stations_observations_strings",
            "testing__KDCA__observations",
        ],
        "12 readings": ["2019__KCNK__observations"],
        f"{home()} was answered 503 Service Unavailable": ["testing__PAEI__observations"],
        f"{home()} was answered 500 Internal Server Error: Unexpected Problem: An unexpected problem has occurred.": [
            "2019__problem_500"
        ],
    }
    assert count == 12 + 5, "what the recorder made a template of has no time that can be read"


@needs
def test_all_recorded_answers_give_readings_or_one_sentence(service: Service, time: Time) -> None:
    told, count = outcomes(RECORDED, service, time)
    assert sum(map(len, told.values())) == 101
    assert set(told) == {
        "0 readings",
        "1 readings",
        "2 readings",
        "153 readings",
        *(
            f"the answer for KMSP holds {n} features, and no observation among them"
            for n in (1, 40, 41, 47, 52, 69, 89)
        ),
        f"{home()} was answered 503 Service Unavailable",
        f"{home()} was answered 500 Internal Server Error: Unexpected Problem: An unexpected problem has occurred.",
        f"{home()} was answered 404 Not Found: Not Found",
    }
    assert (
        sorted(told["0 readings"])
        == ["stations_observations_empty", "stations_observations_noprop"] + ["testing__PPIZ__observations"] * 2
    )
    assert len(told[f"{home()} was answered 503 Service Unavailable"]) == 4
    # What the recorder made a template of has no time that can be read: bronze will say so.
    templates = sum('"date:now' in path.read_text() for path in recorded(RECORDED))
    ones = len(told["1 readings"])
    assert (count, ones - templates) == (153 + 2 + ones - templates, ones - templates)


def test_unit_is_read_from_each_value() -> None:
    now = reading("restored/load-testing-ioc__KMSP__observations.json")
    assert (now["temperature"], now["windSpeed"], now["barometricPressure"]) == ("5", "14.832", "1019.6416")
    assert (now["windGust"], now["seaLevelPressure"], now["visibility"]) == ("", "", "12.87475")
    then = reading("restored/2019__KCNK__observations.json")
    document = json.loads((EXCERPT / "restored/2019__KCNK__observations.json").read_bytes())
    speed = document["features"][0]["properties"]["windSpeed"]
    assert speed["unitCode"] == "unit:m_s-1"
    assert float(then["windSpeed"]) == pytest.approx(speed["value"] * 3.6)
    strings = reading("pynws_edited/stations_observations_strings.json")
    assert (strings["temperature"], strings["windSpeed"], strings["barometricPressure"]) == ("10", "36", "1000")
    other = json.loads((EXCERPT / "pynws_edited/stations_observations_other_unitcode.json").read_bytes())
    codes = {name: v["unitCode"] for name, v in other["features"][0]["properties"].items() if isinstance(v, dict)}
    assert codes["windSpeed"] == "wmoUnit:m_s-1"


def test_station_without_pressure_gives_reading() -> None:
    bodies = [path.read_bytes() for path in recorded() if "__observations.json" in path.name]
    pages = [_nws_readings.parse_page(body, feed(), "?") for body in bodies if b'"features": null' not in body]
    values = [dict(zip(EVERYTHING, r.values, strict=True)) for page in pages for r in page.readings]
    assert any(row["temperature"] and not row["barometricPressure"] for row in values)


def test_readings_of_past_years_are_not_news(service: Service) -> None:
    service.script = {home("KCNK"): [Reply((EXCERPT / "restored/2019__KCNK__observations.json").read_bytes())]}
    notes: list[str] = []
    now = datetime(2019, 8, 17, 12, tzinfo=UTC)
    delivered = poll(service, feed(["KCNK"]), now=now, notes=notes)
    assert [(each.month, len(each.table)) for each in delivered] == [("2019-08", 9)]
    assert notes == ["3 readings older than 7 days, 0:00:00 left out: they are not new"]
    times = delivered[0].table["time"].to_pylist()
    assert times == sorted(times), "in order of time, whatever the service's"


# Units, times, codes


def text_of(value: float, code: str, unit: str) -> float:
    return float(_nws_readings.convert_value(repr(value), code, unit))


speeds = st.floats(0, 500).map(lambda value: round(value, 3))


@given(speeds, st.sampled_from(["wmoUnit:", "unit:", "http://codes.wmo.int/common/unit/"]))
def test_speed_is_equal_in_any_unit(speed: float, prefix: str) -> None:
    for unit in ("m/s", "km/h", "mph"):
        one, other = text_of(speed / 3.6, f"{prefix}m_s-1", unit), text_of(speed, f"{prefix}km_h-1", unit)
        assert one == pytest.approx(other, rel=1e-8, abs=1e-8)
    assert text_of(speed, f"{prefix}degC", "degF") == pytest.approx(speed * 1.8 + 32)
    assert text_of(speed, f"{prefix}Pa", "hPa") == pytest.approx(speed / 100)
    assert text_of(speed, f"{prefix}hPa", "Pa") == pytest.approx(speed * 100)
    assert text_of(speed, f"{prefix}m", "mm") == pytest.approx(speed * 1000)
    assert text_of(speed, f"{prefix}mm", "mm") == speed
    assert text_of(speed, f"{prefix}degree_(angle)", "degree") == speed
    assert text_of(speed, f"{prefix}percent", "percent") == speed


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        ("12.3", "wmoUnit:xyz", "12.3 wmoUnit:xyz"),
        ("12.3", "wmoUnit:Pa", "12.3 wmoUnit:Pa"),  # a pressure is no temperature
        ("12.3", "wmoUnit:_(", "12.3 wmoUnit:_("),
        ("12.3", None, "12.3 without unitCode"),
        ("12.30", "unit:degC", "12.30"),  # untouched
        ("50", "wmoUnit:degF", "10"),
        ("283.15", "wmoUnit:K", "10"),
        ("mild", "wmoUnit:degF", "mild"),
        ("NaN", "wmoUnit:degF", "NaN"),
        ("1e400", "wmoUnit:degF", "inf"),
    ],
)
def test_ambiguous_number_keeps_its_text(value: str, code: str | None, expected: str) -> None:
    assert _nws_readings.convert_value(value, code, "degC") == expected


def one(feature: dict[str, Any]) -> _nws_readings.NwsReading:
    return _nws_readings.parse_page(json.dumps(collection(feature)).encode(), feed(), "KMSP").readings[0]


def test_quality_codes_become_column_flags() -> None:
    def wind(code: Any, value: Any = 3) -> str | None:
        return one(
            observation(
                NOW,
                windSpeed={"unitCode": "wmoUnit:m_s-1", "value": value, "qualityControl": code},
                seaLevelPressure={"unitCode": "unit:Pa", "value": 1e5, "qualityControl": "qc:Q"},
            )
        ).flags

    assert wind("X") == wind("qc:X") == wind("B") == "windspeed=X sealevelpressure=Q"
    assert wind("Q") == "windspeed=Q sealevelpressure=Q"
    assert {wind(code) for code in ("V", "qc:V", "S", "C", "Z", "G", None, 3)} == {"sealevelpressure=Q"}
    assert wind("X", None) == "sealevelpressure=Q", "what was not measured cannot be wrong"
    assert one(observation(NOW)).flags is None


def test_times_are_instants_with_any_offset() -> None:
    for text in (
        "2026-03-04T19:00:00+00:00",
        "2026-03-04T19:00:00Z",
        "2026-03-04T13:00:00-06:00",
        "2026-03-04T19:00:00",
    ):
        found = one(observation(text))
        assert (found.time, found.time_text) == (NOW, text)
    for text in ("date:now -1135 seconds", "", "0001-01-01T00:00:00+14:00"):
        assert one(observation(text)).time is None


def test_odd_values_keep_their_text_for_bronze() -> None:
    found = one(
        observation(NOW, windSpeed=4, windGust={"value": [1]}, visibility={"value": True, "unitCode": "wmoUnit:m"})
    )
    values = dict(zip(EVERYTHING, found.values, strict=True))
    assert values["windSpeed"] == "4 without unitCode"
    assert (values["windGust"], values["visibility"]) == ('["1"]', "true")


@pytest.mark.parametrize(
    "body",
    [b"<html>Log in to the guest network</html>", b"", b"[]", b"3", b"null", b'{"type": "FeatureCollection"}',
     b'{"a": ', b'{"features": {}}', b'{"features": [1, null, {"properties": 3}]}', b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_answer_of_other_shape_fails_its_station(body: bytes) -> None:
    with pytest.raises(AeroCastError, match="the answer for KMSP"):
        _nws_readings.parse_page(body, feed(), "KMSP")


def test_field_in_two_units_is_refused() -> None:
    declared = find_feed("midwest").model_dump(mode="json")
    declared["columns"].append(declared["columns"][2] | {"name": "gust", "label": "gust", "source_unit": "m/s"})
    with pytest.raises(AeroCastError, match=r"windSpeed.*km/h.*m/s"):
        _nws_readings.field_units(Feed.parse(declared))


# Asking


def test_temporary_failure_is_retried_with_longer_pauses(service: Service, time: Time) -> None:
    service.script = {home(): [Reply(status=503), Reply(status=500), Reply(status=502), Reply(collection())]}
    assert time.client(service).get(home()).status == 200
    assert len(service.asked) == 4
    for pause, least in zip(time.slept, (1, 2, 4), strict=True):
        assert least <= pause <= least + 1, "doubled each time, with up to a second of jitter"
    assert service.asked[0][1]["User-Agent"] == "AeroCast test"


def test_retries_are_limited(service: Service, time: Time) -> None:
    service.script = {home(): [Reply({"title": "Tired", "detail": "Later"}, 503)]}
    with pytest.raises(RefusedError, match="503 Service Unavailable: Tired: Later"):
        time.client(service).get(home())
    assert len(service.asked) == _nws_http.ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_permanent_refusal_is_not_retried(service: Service, time: Time, status: int) -> None:
    service.script = {home(): [Reply({"title": "No", "status": status}, status)]}
    with pytest.raises(RefusedError, match=f"answered {status} .*: No"):
        time.client(service).get(home())
    assert (len(service.asked), time.slept) == (1, [])


def test_retry_after_seconds_is_honoured(service: Service, time: Time) -> None:
    service.script = {home(): [Reply(status=429, headers={"Retry-After": "17"}), Reply(collection())]}
    time.client(service).get(home())
    assert time.slept == [17]
    service.script = {home(): [Reply(status=429, headers={"Retry-After": "500"})]}
    client = time.client(service)
    with pytest.raises(RefusedError, match="asks for 500 s"):
        client.get(home())
    asked = len(service.asked)
    with pytest.raises(RefusedError, match="to wait another 500 s"):
        client.get(home("KMKE"))
    assert len(service.asked) == asked, "not about another station either"


def test_retry_after_date_is_honoured() -> None:
    assert _nws_http.retry_after("Wed, 04 Mar 2026 19:00:30 GMT", NOW) == 30
    assert _nws_http.retry_after("Wed, 04 Mar 2026 18:00:00 GMT", NOW) == 0
    assert _nws_http.retry_after("soon") == _nws_http.retry_after("") == 0


def test_interrupted_answer_is_retried(service: Service, time: Time) -> None:
    service.script = {home(): [Reply(b"{", headers={"Content-Length": "100"}), Reply(collection())]}
    assert json.loads(time.client(service).get(home()).body) == collection()
    assert len(time.slept) == 1


def test_unreachable_service_is_retried_for_first_request_only(time: Time) -> None:
    gone = Service()
    gone.server.server_close()
    client = time.client(gone)
    for pauses in (3, 0):
        time.slept.clear()
        with pytest.raises(RefusedError, match="cannot be reached: ConnectError"):
            client.get(home())
        assert len(time.slept) == pauses


def test_poll_ends_within_its_time(service: Service, time: Time) -> None:
    service.script = {home(): [Reply(status=503)]}
    client = time.client(service, seconds=5)
    with pytest.raises(RefusedError, match="503"):
        client.get(home())
    assert time.now <= 5
    time.now = 6
    with pytest.raises(RefusedError, match="no time left"):
        client.get(home())


def test_slow_answer_is_abandoned(service: Service, time: Time) -> None:
    def drip() -> bytes:
        time.now += 1000
        return b" "

    service.script = {home(): [Reply(drip)]}
    with pytest.raises(RefusedError, match="took longer than the time left"):
        time.client(service).get(home())


@pytest.mark.parametrize("base", ["api.weather.gov", "ftp://127.0.0.1", "http://"])
def test_invalid_address_is_tried_once(time: Time, base: str) -> None:
    with pytest.raises(RefusedError, match="cannot be requested"):
        NwsClient(base, "AeroCast test", sleep=time.sleep, clock=lambda: time.now).get(home())
    assert time.slept == []


def test_user_agent_must_be_valid_header() -> None:
    for agent in ("Jürgen", "one\ntwo"):
        with pytest.raises(AeroCastError, match="AEROCAST_USER_AGENT"):
            NwsClient("http://127.0.0.1", agent)


def test_endless_answer_is_cut_off(service: Service, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nws_http, "LARGEST", 1000)
    service.script = {home(): [Reply(b" " * 2000)]}
    with pytest.raises(RefusedError, match="more than"):
        time.client(service).get(home())


# Polling


def test_pages_are_followed_to_requested_start(service: Service) -> None:
    """A week is asked for first. The order within a page means nothing, and the address leads to our service."""
    elsewhere = f"https://api.weather.gov{home()}?cursor="
    ages = {"?limit=500": (3 * HOUR, 0 * HOUR, HOUR), "?cursor=a": (9 * DAY, 6 * DAY), "?cursor=b": (8 * DAY,)}
    service.script = {
        home() + query: [Reply(collection(*(observation(NOW - age) for age in own), following=elsewhere + "abc"[at]))]
        for at, (query, own) in enumerate(ages.items())
    }
    notes: list[str] = []
    delivered = rows(poll(service, notes=notes))
    assert service.paths() == [home() + "?limit=500", home() + "?cursor=a", home() + "?cursor=b"]
    assert [row["time"] for row in delivered] == [NOW - 6 * DAY, NOW - 3 * HOUR, NOW - HOUR, NOW]
    assert [(row["month"], row["line"]) for row in delivered] == [("2026-02", 0), *(("2026-03", n) for n in range(3))]
    assert notes == ["2 readings older than 7 days, 0:00:00 left out: they are not new"]


def test_circular_pages_end(service: Service) -> None:
    service.script = {home(): [Reply(collection(observation(NOW), following=home() + "?cursor=a"))]}
    assert len(rows(poll(service))) == 1, "the same reading on two pages is one"
    assert len(service.asked) == 2


def test_row_holds_answer_as_received(service: Service) -> None:
    pressure = {"unitCode": "wmoUnit:Pa", "value": 101964.16, "qualityControl": "qc:Q"}
    service.script = {
        home(): [Reply(collection(observation("2026-03-04T12:20:00-06:00", barometricPressure=pressure)))]
    }
    (delivery,) = poll(service, feed(fields={"temperature": "degF", "barometricPressure": "hPa"}))
    assert delivery.table.to_pylist() == [
        {
            "station": "KMSP",
            "time": datetime(2026, 3, 4, 18, 20, tzinfo=UTC),
            "time_text": "2026-03-04T12:20:00-06:00",
            "source": "api.weather.gov",
            "segment": delivery.segment,
            "flags": "barometricpressure=Q",
            "temperature": "34.7",
            "barometricPressure": "1019.6416",
            "line": 0,
            "month": "2026-03",
        }
    ]


def test_same_answers_are_same_segment_and_appended_once(service: Service, tmp_path: Path) -> None:
    lake, first = Lake(tmp_path), [observation(NOW - n * HOUR) for n in range(3)]
    service.script = {home(): [Reply(collection(*first)), Reply(collection(*reversed(first)))]}
    polled = [each for _ in range(2) for each in poll(service)]
    taken = [lake.append("t/raw", each.table, Slot(each.slot, each.segment)) for each in polled]
    assert taken == [True, False]
    service.script = {home(): [Reply(collection(*first[:2], observation(NOW - 2 * HOUR, temperature=9)))]}
    (corrected,) = poll(service)
    news = Slot(corrected.slot, corrected.segment)
    assert lake.append("t/raw", corrected.table, news), "what says something else is news"


def test_row_without_time_goes_to_newest_month(service: Service) -> None:
    odd = [observation("yesterday"), observation(NOW + 40 * DAY), {"properties": {"timestamp": None}}]
    service.script = {home(): [Reply(collection(*odd))]}
    notes: list[str] = []
    delivered = rows(poll(service, notes=notes))
    assert [(row["time_text"], row["month"]) for row in delivered] == [
        ("yesterday", "2026-03"),
        ((NOW + 40 * DAY).isoformat(), "2026-03"),
    ]
    assert notes == ["1 observations without a time and without a value left out"]


def test_failed_station_does_not_stop_others(service: Service, time: Time) -> None:
    service.script = {
        home("A"): [Reply({"features": None}, 503)],
        home("B"): [Reply(b"<html>")],
        home("C"): [Reply(collection(observation(NOW, "C")))],
    }
    notes: list[str] = []
    delivered = rows(poll(service, feed(["A", "B", "C", "D"]), client=time.client(service), notes=notes))
    assert [row["station"] for row in delivered] == ["C"]
    assert [note.split(":")[0] for note in notes] == [f"station {station} failed" for station in "ABD"]
    assert "503" in notes[0]
    assert "not JSON" in notes[1]
    assert "404" in notes[2]


def test_hanging_station_uses_only_its_share_of_time(service: Service, time: Time) -> None:
    service.script = {
        home("A"): [Reply(status=503, headers={"Retry-After": "70"})],
        home("B"): [Reply(collection(observation(NOW, "B")))],
    }
    delivered = rows(poll(service, feed(["A", "B"]), client=time.client(service)))
    assert [row["station"] for row in delivered] == ["B"]


def test_readings_before_failed_page_are_kept(service: Service) -> None:
    service.script = {
        home() + "?limit=500": [Reply(collection(observation(NOW), following=home() + "?cursor=a"))],
        home() + "?cursor=a": [Reply(status=500)],
    }
    notes: list[str] = []
    found: list[Delivery] = []
    declared = feed()
    assert isinstance(declared.source, NwsSource)
    reader = _nws_poll.poll(declared.source, declared, ReadRequest(now=NOW, notes=notes), Time().client(service))
    with pytest.raises(AeroCastError, match="no station could be read"):
        found.extend(reader)  # takes what comes before the error
    assert len(rows(found)) == 1


def test_latest_reading_is_read_where_list_fails(service: Service) -> None:
    service.script = {
        home(): [Reply({"features": None}, 503)],
        home() + "/latest": [Reply(observation(NOW))],
        home("OK"): [Reply(collection())],
    }
    notes: list[str] = []
    delivered = rows(poll(service, feed(["KMSP", "OK"]), notes=notes))
    assert [row["time"] for row in delivered] == [NOW]
    assert len(notes) == 1, "the station failed all the same"


def test_failure_of_every_station_raises_error(service: Service) -> None:
    with pytest.raises(AeroCastError, match=r"no station could be read: /stations/A/.*404.*; /stations/B/.*404"):
        poll(service, feed(["A", "B"]))


# What is remembered


class Poller:
    """Polls as the raw asset does: appends each delivery before it asks for the next."""

    def __init__(self, service: Service, work: Path, stations: Sequence[str] = ("KMSP",)) -> None:
        self.service, self.work, self.feed, self.lake = service, work / "sources/nws", feed(stations), Lake(work)
        self.newest: dict[str, datetime] = {}

    def __call__(self, now: datetime = NOW, *, killed: bool = False, **more: Any) -> list[Mapping[str, str]]:
        """One poll; the headers of what was asked."""
        self.service.asked.clear()
        source, client = self.feed.source, Time().client(self.service)
        assert isinstance(source, NwsSource)
        request = ReadRequest(now=now, after=self.newest, work=self.work, **more)
        for delivery in _nws_poll.poll(source, self.feed, request, client):
            self.lake.append("t/raw", delivery.table, Slot(delivery.slot, delivery.segment))
            times = [time for time in delivery.table["time"].to_pylist() if time]
            self.newest[delivery.month] = max([*times, self.newest.get(delivery.month, times[0])])
            if killed:
                break
        return [headers for _, headers in self.service.asked]

    def rows(self) -> int:
        return sum(self.lake.rows("t/raw").values())


def conditional(asked: Sequence[Mapping[str, str]]) -> list[tuple[str | None, str | None]]:
    return [(headers.get("If-None-Match"), headers.get("If-Modified-Since")) for headers in asked]


@pytest.fixture
def poller(service: Service, tmp_path: Path) -> Poller:
    return Poller(service, tmp_path)


TAGS = {"ETag": '"one"', "Last-Modified": "Wed, 04 Mar 2026 18:00:00 GMT"}


def test_unchanged_answer_is_not_sent_again(poller: Poller, service: Service) -> None:
    service.script = {home(): [Reply(collection(observation(NOW)), headers=TAGS)]}
    assert conditional(poller()) == [(None, None)]
    assert conditional(poller(NOW + 5 * MINUTE)) == [(None, None)], "a shorter page is another address"
    assert service.paths() == [home() + "?limit=100"]
    service.script = {home(): [Reply(status=304)]}
    asked = poller(NOW + 10 * MINUTE)
    assert conditional(asked) == [tuple(TAGS.values())]
    assert (len(asked), poller.rows()) == (1, 1)
    service.script = {
        home(): [Reply(collection(observation(NOW + 15 * MINUTE), observation(NOW)), headers={"ETag": "two"})]
    }
    poller(NOW + 15 * MINUTE)
    assert conditional(poller(NOW + 20 * MINUTE)) == [("two", None)]


def test_poll_killed_before_commit_advances_nothing(poller: Poller, service: Service) -> None:
    service.script = {home(): [Reply(collection(observation(NOW)), headers=TAGS)]}
    poller(killed=True)
    assert conditional(poller()) == [(None, None)]
    assert service.paths() == [home() + "?limit=500"]
    assert poller.rows() == 1


@pytest.mark.parametrize("lost", ["the table", "the file", "a part of the file", "the declaration"])
def test_memory_never_exceeds_table(poller: Poller, service: Service, lost: str) -> None:
    service.script = {home(): [Reply(collection(observation(NOW)), headers=TAGS)]}
    poller()
    memory = poller.work / "midwest.json"
    changes: dict[str, Callable[[], object]] = {
        "the table": lambda: poller.newest.update({"2026-03": NOW - HOUR}),
        "the file": memory.unlink,
        "a part of the file": lambda: memory.write_bytes(memory.read_bytes()[:40]),
        "the declaration": lambda: setattr(poller, "feed", feed(fields={"temperature": "degF"})),
    }
    changes[lost]()
    poller()
    assert service.paths() == [home() + "?limit=500"], "all of the reach is asked for again"


def test_failed_station_resumes_from_its_last_time(service: Service, tmp_path: Path) -> None:
    poller = Poller(service, tmp_path, ["A", "B"])
    page = {station: Reply(collection(observation(NOW, station)), headers=TAGS) for station in "AB"}
    service.script = {home(station): [page[station]] for station in "AB"}
    poller()
    later = NOW + 5 * HOUR
    service.script = {home("A"): [Reply(status=500)], home("B"): [Reply(collection(observation(later, "B")))]}
    poller(later)
    older = collection(observation(later, "A"), following=home("A") + "?cursor=a")
    service.script = {home("A") + "?limit=500": [Reply(older)], home("B"): [page["B"]]}
    service.script[home("A") + "?cursor=a"] = [Reply(collection(observation(NOW + HOUR, "A"), observation(NOW, "A")))]
    poller(later)
    assert [path for path in service.paths() if "/A/" in path] == [home("A") + "?limit=500", home("A") + "?cursor=a"]
    assert poller.rows() == 2 + 1 + 3 + 1, "B's second look and A's overlap come twice; bronze knows"


def test_skipped_month_is_read_later(poller: Poller, service: Service) -> None:
    service.script = {home(): [Reply(collection(observation(NOW), observation(NOW - 5 * DAY)), headers=TAGS)]}
    assert poller(months=["2026-01"]) == [], "nothing of that can be had any more"
    poller(months=["2026-02"])
    assert poller.rows() == 1
    poller()
    assert service.paths() == [home() + "?limit=500"]
    assert poller.rows() == 2, "the one that is there already is the same segment"


def test_requested_pause_holds_for_next_poll(poller: Poller, service: Service) -> None:
    service.script = {home(): [Reply(status=429, headers={"Retry-After": "3600"})]}
    with pytest.raises(AeroCastError, match="asks for 3600 s"):
        poller()
    with pytest.raises(AeroCastError, match="to wait another 3"):
        poller(NOW + 5 * MINUTE)
    assert service.asked == []


def test_unwritable_memory_costs_only_repetition(poller: Poller, service: Service) -> None:
    service.script = {home(): [Reply(collection(observation(NOW)), headers=TAGS)]}
    poller.work.parent.mkdir()
    poller.work.write_text("in the way")
    notes: list[str] = []
    poller(notes=notes)
    assert poller.rows() == 1
    assert "could not be written" in notes[-1]
    assert "requests everything again" in notes[-1]


def test_settings_name_service_and_contact(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROCAST_NWS_URL", service.url + "/")
    monkeypatch.setenv("AEROCAST_USER_AGENT", "(example.org, ops@example.org)")
    service.script = {home(): [Reply(collection(observation(NOW)))]}
    declared = feed()
    found = pa.concat_tables(each.table for each in declared.source.read(declared, ReadRequest(now=NOW)))
    assert found.schema == raw_schema(declared)
    assert service.asked[0][1]["User-Agent"] == "(example.org, ops@example.org)"
    assert declared.source.fingerprint(declared) == "nws"
