"""The server's part in the loop: it logs what it answers and what came true, and starts nothing itself."""

import math
from datetime import UTC, datetime

from msgspec import UNSET

from aerocast.contracts.manifest import FeedSnapshot
from aerocast.contracts.predictions import PostedOutcome, PredictionLog
from aerocast.storage.home import Home
from serving import predictor
from serving.hot_swap import ServingStore
from serving.journal import Journal
from serving.loading import Key
from serving.notices import OutcomeNotice, forecast_notice
from serving.outcomes import LiveErrors, Recent
from serving.predictor import Answered
from serving.problems import invalid, problem
from serving.schemas import EvalRequest, Evaluation
from serving.shadow import Shadows, logged


class Loop:
    """The log, the memory of recent answers, the live errors and the shadows of one server; `journal` tells of them."""

    def __init__(
        self, home: Home, store: ServingStore, log_seconds: float | None, journal: Journal | None = None
    ) -> None:
        self.journal = journal or Journal()
        self.log = PredictionLog(home, log_seconds or 10.0)
        self.shadows = Shadows(self.log.append)
        self._logs = log_seconds is not None
        self.errors = LiveErrors()
        self._store = store
        self._recent = Recent()

    def answered(self, answered: Answered, is_writer: bool) -> None:
        """Keeps an answer before it is sent; a disk that refuses does not hold it up.

        The log is evidence about the model: of a client that may not write it takes what the platform's own readings
        lead to, each forecast once, and nothing that comes from the client's.
        """
        served = answered.served
        self._recent.remember(served.key, served.manifest.horizons, answered.prediction)
        if answered.is_first:
            self.journal.note(
                ("forecast", served.key, answered.prediction.station), forecast_notice(answered.prediction)
            )
        if not self._logs or not (is_writer or answered.is_first):
            return
        self.log.append(logged(answered.prediction, answered.graph, shadow=False))
        if challenger := self._store.challenger(served.key):
            self.shadows.offer(challenger, answered)

    def outcome(self, request: EvalRequest) -> Evaluation:
        """Takes an outcome. Raises a problem: 404 for an id that is not remembered, 422, 503 if it cannot be kept."""
        key = self._by_id(request, request.id) if request.id is not None else self._pair(request)
        rmse, count = self.errors.rmse(key)
        return Evaluation(*key, rmse, count, self._store.hot(key))

    def close(self) -> None:
        """Everything that was answered is on disk in closed segments when this returns."""
        self.shadows.close()
        self.log.close()

    def _pair(self, request: EvalRequest) -> Key:
        if request.predicted is None:
            detail, rule = "Give the id and horizon of a forecast, or what was predicted.", "one of id and predicted"
            raise problem("id-or-predicted", detail, field="id, predicted", value=None, rule=rule)
        _only(request, "a pair of predicted and actual", ("horizon",))
        served = predictor.choose(self._store, request.feed, request.target)
        if request.station is not None and request.station not in [info.id for info in served.feed.stations]:
            names = ", ".join(info.id for info in served.feed.stations[:20])
            raise invalid("station", request.station, f"one of {names}")
        if abs(request.predicted) > 1e30:
            raise invalid("predicted", request.predicted, "a number below 1e30")
        _check_actual(served.feed, served.manifest.target, request.actual)
        self._keep(served.key, request, request.predicted, request.station)
        return served.key

    def _by_id(self, request: EvalRequest, name: str) -> Key:
        """An outcome that was posted before is not counted again: a client may repeat what it is not sure of."""
        _only(request, "an id", ("predicted", "feed", "target", "station"))
        answer = self._recent.find(name)
        if answer is None:
            detail = "No answer with this id is known; post predicted and actual instead."
            rule = "the id of an answer that this process gave lately"
            raise problem("unknown-forecast", detail, status=404, field="id", value=name, rule=rule)
        if request.horizon not in answer.horizons:
            value = UNSET if request.horizon is None else request.horizon
            raise invalid("horizon", value, f"one of {', '.join(map(str, answer.horizons))}")
        (feed, target), place = answer.key, answer.horizons.index(request.horizon)
        served = self._store.index.get(feed, {}).get(target)
        if served:
            _check_actual(served.feed, target, request.actual)
        if not math.isnan(answer.values[place]):
            self._keep(answer.key, request, answer.values[place], answer.station)
            answer.values[place] = math.nan
        return answer.key

    def _keep(self, key: Key, request: EvalRequest, predicted: float, station: str | None) -> None:
        posted = PostedOutcome(
            posted_at=datetime.now(UTC),
            feed=key[0],
            target=key[1],
            actual=request.actual,
            predicted=request.predicted,
            id=request.id,
            horizon=request.horizon,
            station=station,
        )
        if self._logs and not self.log.append(posted):
            raise problem("not-kept", "The outcome could not be written to disk; post it again later.", status=503)
        self.errors.add(key, request.actual - predicted)
        notice = OutcomeNotice(
            at=posted.posted_at,
            feed=key[0],
            source="posted",
            target=key[1],
            station=station,
            horizon=request.horizon,
            predicted=predicted,
            actual=request.actual,
            error=round(request.actual - predicted, 4),
            rmse=self.errors.rmse(key)[0],
        )
        self.journal.note(("outcome", key, station), notice)


def _only(request: EvalRequest, form: str, others: tuple[str, ...]) -> None:
    for name in others:
        if (value := getattr(request, name)) is not None:
            raise invalid(name, value, f"not together with {form}")


def _check_actual(feed: FeedSnapshot, target: str, actual: float) -> None:
    column = feed.column(target)
    if column and not column.range[0] <= actual <= column.range[1]:
        low, high = column.range
        raise invalid("actual", actual, f"{target} within {low:g} .. {high:g} {column.unit}")
