"""What clients of a server do, for locust: forecasts by station and by sequence, batches, posted readings, history.

Run by `make load` in locust's own environment, where AeroCast is not installed. `LOAD_PLAN` names a JSON document:
feed, stations, the window, what a reading looks like, and where the figures go. A refusal by 429 is no failure: it is
what the server says past its capacity, and is counted alone.
"""

import json
import os
import random
from collections import Counter
from pathlib import Path

from locust import FastHttpUser, between, events, task

PLAN = json.loads(Path(os.environ["LOAD_PLAN"]).read_text())
BUSY = 429
BATCH = 32
TOKEN = {"authorization": f"Bearer {os.environ['LOAD_TOKEN']}"} if os.environ.get("LOAD_TOKEN") else {}
busy: Counter[str] = Counter()


class Person(FastHttpUser):
    """One client, which thinks a moment between two questions. Its choices follow from the plan's seed."""

    wait_time = between(0.02, 0.1)
    count = 0

    def on_start(self) -> None:
        self.random = random.Random(f"{PLAN['seed']}/{Person.count}")
        Person.count += 1

    @task(50)
    def forecast_station(self) -> None:
        self.ask("POST /v1/predict, station", "/v1/predict", self.by_station())

    @task(20)
    def forecast_sequence(self) -> None:
        self.ask("POST /v1/predict, sequence", "/v1/predict", self.by_sequence())

    @task(5)
    def forecast_batch(self) -> None:
        body = [self.by_station() if self.random.random() < 0.5 else self.by_sequence() for _ in range(BATCH)]
        self.ask(f"POST /v1/predict/batch, {BATCH}", "/v1/predict/batch", body)

    @task(15)
    def observe(self) -> None:
        if PLAN["reading"]:
            reading = {"station": self.random.choice(PLAN["stations"]), **PLAN["reading"]}
            self.ask("POST /v1/observations", f"/v1/observations/{PLAN['feed']}", reading)

    @task(10)
    def look_back(self) -> None:
        station = self.random.choice(PLAN["stations"])
        path = f"/v1/predictions/{station}/history?feed={PLAN['feed']}&limit=100"
        self.ask("GET /v1/predictions/../history", path)

    def by_station(self) -> dict[str, object]:
        return {"feed": PLAN["feed"], "station": self.random.choice(PLAN["stations"])}

    def by_sequence(self) -> dict[str, object]:
        steps = [[round(self.random.gauss(at, 1), 2) for at in PLAN["middle"]] for _ in range(PLAN["steps"])]
        return {"feed": PLAN["feed"], "sequence": steps}

    def ask(self, name: str, path: str, body: object = None) -> None:
        """A GET, or a POST of JSON."""
        method = "GET" if body is None else "POST"
        with self.client.request(method, path, json=body, name=name, headers=TOKEN, catch_response=True) as answer:
            if answer.status_code == BUSY:
                busy[name] += 1
                answer.success()


@events.quitting.add_listener
def write_figures(environment: object, **_: object) -> None:
    """One entry a kind of request, and one for all."""
    stats = environment.stats
    entries = [*sorted(stats.entries.values(), key=lambda each: -each.num_requests), stats.total]
    figures = [
        {
            "name": each.name,
            "requests": each.num_requests,
            "rate": each.total_rps,
            "p50": each.get_response_time_percentile(0.5),
            "p99": each.get_response_time_percentile(0.99),
            "busy": busy.total() if each is stats.total else busy[each.name],
            "failures": each.num_failures,
        }
        for each in entries
    ]
    errors = [f"{each.name}: {each.error} ({each.occurrences})" for each in stats.errors.values()]
    Path(PLAN["figures"]).write_text(json.dumps({"figures": figures, "errors": errors}))
