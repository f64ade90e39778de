"""The files that a server reads, read without a server."""

from dataclasses import dataclass
from pathlib import Path

from serving import predictor, views
from serving.hot_swap import ServingStore
from serving.loop import Loop
from serving.metrics import ServerMetrics
from serving.observations import Observations
from serving.schemas import Health, LeftOut, PredictRequest


@dataclass
class Reader:
    """The files that a server reads, read without a server."""

    home: Path

    def __post_init__(self) -> None:
        self.store, self.observations = ServingStore(self.home), Observations(self.home)
        self.loop = Loop(self.home, self.store, None)
        self.metrics = ServerMetrics(self.store, self.loop, self.observations)

    def look(self) -> Health:
        """Read everything like the watcher of the server, and failed files without a pause."""
        for slot in (*self.store.slots(), *self.observations.slots()):
            slot.retry_at = 0
        self.store.poll()
        self.observations.look(every=0)
        return views.health(self.store, self.loop.log, 1.0, self.observations.slots())

    def left_out(self) -> dict[str, LeftOut]:
        return {each.file: each for each in self.look().left_out}

    def works(self) -> None:
        """Assert that forecasts are answered, readings are known, and every view can be built."""
        answer = predictor.predict(self.store, PredictRequest(station="JFK")).prediction
        assert answer.model.version.startswith("0001-")
        assert self.observations.slots()[1].served
        assert b"aerocast_files_left_out" in self.metrics.text()
        assert views.feeds(self.store)
