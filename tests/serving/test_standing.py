"""What the server says of the loop: drift, retrains, decisions and quarantine, from the platform's documents."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from aerocast.contracts import alarms, drift_state, loop_notes, requests
from aerocast.contracts.alarms import AlarmState, Condition, Judgement
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
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import problem_of
from tests.harness.server import Server
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
NOW, DAY = datetime(2013, 12, 30, 19, tzinfo=UTC), timedelta(days=1)
WAITS = "hot since 2013-12-28 19:00, but the daily budget of 2 is spent"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two releases of one target."""
    publish(tmp_path, 1)
    publish(tmp_path, 2)
    write_tail(tmp_path)
    return tmp_path


def write_drift(home: Path) -> None:
    proof = (
        Evidence("page_hinkley", "residuals", 61.2, 50.0, True, "errors have left their mean"),
        Evidence("error_ratio", "residuals", 1.0, 1.5, False, "errors are as usual"),
    )
    judged = Diagnosis("temperature", "JFK", "concept_drift", NOW, NOW - DAY, 5.2, 2.1, 0.4, 72, proof)
    faults = (
        Fault("LGA", "pressure", "stuck", NOW - 9 * DAY, NOW - 8 * DAY, "over"),
        Fault("JFK", "windspeed", "stuck", NOW - 20 * DAY, None, "lasts"),
    )
    heat = Heat("temperature", hot=True, edges=2, since=NOW - 2 * DAY, onset=NOW - 3 * DAY)
    beside = Shadow("temperature", "0003-00000003", "0002-00000002", 120, 0.04, 0.03)
    state = DriftState("noaa", NOW, datetime.now(UTC), (judged,), faults, (heat,), (beside,))
    drift_state.document(home, "noaa").write(state)


def test_loop_before_the_first_look_knows_what_serves(home: Path, serve: Start) -> None:
    answer = serve()[1].get("/v1/loop").json()
    assert (answer["feed"], answer["judged_at"], answer["faults"]) == ("noaa", None, [])
    (target,) = answer["targets"]
    assert (target["version"], target["previous"]) == ("0002-00000002", "0001-00000001")
    assert (target["hot"], target["retrain"], target["request"], target["decisions"]) == (False, None, None, [])
    assert (target["run"], target["shadows"]) == (None, [])


def test_loop_says_why_and_on_what_proof(home: Path, serve: Start) -> None:
    write_drift(home)
    runs = {"temperature": RetrainRun("run-1", "drift", "refused", NOW - DAY, NOW)}
    loop_notes.retraining(home, "noaa").write(RetrainNotes("noaa", NOW, {"temperature": WAITS}, runs))
    made = PastDecision(
        NOW, "refused", "no better", skill=0.2, gain=0.01, p_value=0.4, test_rows=900, retrain_reason="drift"
    )
    loop_notes.decisions(home, "noaa", "temperature").write(DecisionNotes("noaa", "temperature", (made,)))
    request = requests.request_retrain(home, "noaa", "temperature", "asked")
    answer = serve()[1].get("/v1/loop", params={"feed": "noaa"}).json()
    assert [each["detail"] for each in answer["faults"]] == ["lasts", "over"], "what lasts comes first"
    (target,) = answer["targets"]
    assert (target["hot"], target["edges"], target["onset"]) == (True, 2, "2013-12-27T19:00:00Z")
    assert (target["retrain"], target["retrain_at"]) == (WAITS, "2013-12-30T19:00:00Z")
    assert target["request"] == request.id
    assert (target["run"]["run_id"], target["run"]["outcome"]) == ("run-1", "refused")
    (beside,) = target["shadows"]
    assert (beside["challenger"], beside["pairs"], beside["p_value"]) == ("0003-00000003", 120, 0.03)
    (station,) = target["stations"]
    assert (station["verdict"], station["evidence"]) == ("concept_drift", ["errors have left their mean"])
    (decision,) = target["decisions"]
    assert (decision["verdict"], decision["asked_by"], decision["test_rows"]) == ("refused", "drift", 900)


def test_damaged_notes_are_a_problem_with_their_name(home: Path, serve: Start) -> None:
    place = home / "retraining/noaa.json"
    place.parent.mkdir()
    place.write_text("{")
    assert "retraining/noaa.json" in problem_of(serve()[1].get("/v1/loop"), 503, "notes-unreadable")["detail"]


def test_quarantine_is_counted_with_examples(home: Path, serve: Start) -> None:
    _, client = serve()
    assert client.get("/v1/quarantine").json()["at"] is None, "nothing was counted yet"
    refused = Refused("EWR", NOW, "windspeed", "1048.36", "range", "windspeed is 1048.36 mph")
    counts = (Refusal("EWR", "windspeed", "range", 3, NOW), Refusal(None, None, "unknown_station", 1))
    loop_notes.quarantine(home, "noaa").write(QuarantineNotes("noaa", NOW, ("2013-12",), counts, (refused,)))
    answer = client.get("/v1/quarantine", params={"feed": "noaa"}).json()
    assert (answer["at"], answer["months"]) == ("2013-12-30T19:00:00Z", ["2013-12"])
    assert [(each["station"], each["rule"], each["count"]) for each in answer["counts"]] == [
        ("EWR", "range", 3),
        (None, "unknown_station", 1),
    ]
    assert answer["newest"][0]["reason"] == "windspeed is 1048.36 mph"


def test_alarms_that_last_and_newest_that_are_over(home: Path, serve: Start) -> None:
    _, client = serve()
    assert client.get("/v1/alarms").json() == {"open": [], "past": []}
    began = datetime(2026, 1, 5, tzinfo=UTC)
    silent, hot = Condition("feed_silent", "silent", "noaa"), Condition("drift_hot", "hot", "noaa", "temperature")
    state = alarms.observe(AlarmState(), "platform", Judgement((silent, hot)), began)
    state = alarms.observe(state, "platform", Judgement((silent,)), began + timedelta(hours=2))
    alarms.document(home, "platform").write(state)
    until(lambda: all(client.get("/v1/alarms").json().values()))
    found = client.get("/v1/alarms").json()
    ((lasts,), (over,)) = found["open"], found["past"]
    assert (lasts["condition"], lasts["judge"], lasts["over_at"]) == ("feed_silent", "platform", None)
    assert (over["condition"], over["target"], over["over_at"]) == ("drift_hot", "temperature", "2026-01-05T02:00:00Z")


def test_unknown_feed_is_refused(home: Path, serve: Start) -> None:
    _, client = serve()
    for path in ("/v1/loop", "/v1/quarantine"):
        problem_of(client.get(path, params={"feed": "other"}), 422, "unknown-feed")
