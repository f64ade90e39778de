"""What was answered lately, and how it turned out: in memory only, bounded, for /eval and the live error."""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import NamedTuple

from serving.loading import Key
from serving.schemas import Prediction

MOST_VALUES = 150_000  # 50,000 answers of three horizons
WINDOW = 200


class AnswerKnown(NamedTuple):
    """One answer as it is remembered; a value becomes NaN once its outcome was posted."""

    key: Key
    station: str | None
    horizons: tuple[int, ...]
    values: array[float]


class Recent:
    """The newest answers by id; values are kept as plain doubles: about 350 bytes an answer."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most, self._size = most, 0
        self._answers: dict[str, AnswerKnown] = {}

    def remember(self, key: Key, horizons: tuple[int, ...], prediction: Prediction) -> None:
        """Keeps what was answered; `horizons` are those of its forecasts, shared by all answers of a release."""
        values = array("d", [forecast.value for forecast in prediction.forecasts])
        self._answers[prediction.id] = AnswerKnown(key, prediction.station, horizons, values)
        self._size += len(values)
        while self._size > self._most:
            oldest = next(iter(self._answers))
            self._size -= len(self._answers.pop(oldest).values)

    def find(self, name: str) -> AnswerKnown | None:
        """The answer of that id; None if it is none, or older than what is remembered."""
        return self._answers.get(name)


class LiveErrors:
    """Squared errors of the newest WINDOW outcomes of each target, whatever their horizon."""

    def __init__(self) -> None:
        self._squares: dict[Key, deque[float]] = {}

    def add(self, key: Key, error: float) -> None:
        self._squares.setdefault(key, deque(maxlen=WINDOW)).append(error * error)

    def rmse(self, key: Key) -> tuple[float | None, int]:
        """The root mean square in the target's unit, and of how many outcomes; (None, 0) before the first."""
        squares = self._squares.get(key)
        if not squares:
            return None, 0
        return math.sqrt(math.fsum(squares) / len(squares)), len(squares)
