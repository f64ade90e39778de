"""The state of a sensor between its ticks, as JSON in its cursor; a damaged one costs repetition, never a tick."""

from typing import TypeVar

import dagster as dg
import msgspec

State = TypeVar("State")


def read(context: dg.SensorEvaluationContext, form: type[State], consequence: str) -> State:
    """The state as the last tick left it; an empty one where there is none or it cannot be read.

    `consequence` says in a warning what the sensor does without its state.
    """
    try:
        return msgspec.json.decode(context.cursor, type=form) if context.cursor else form()
    except msgspec.DecodeError as error:
        context.log.warning(f"the cursor cannot be read ({error}): {consequence}")
        return form()


def encoded(state: object) -> str:
    return msgspec.json.encode(state).decode()
