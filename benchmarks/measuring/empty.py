"""`python -m measuring.empty`: our server with one more endpoint that reads what /predict reads, and computes nothing.

It answers each request with the first answer to one of its form: HTTP, framework, schemas and the log's absence are
the same, so that its rate is the limit of `/predict`.
"""

import sys

from litestar import post
from litestar.datastructures import State

from serving import app, predictor
from serving.__main__ import main
from serving.parameters import HttpRequest, body_of
from serving.parsing import parse
from serving.schemas import Prediction

_ANSWERS: dict[bool, Prediction] = {}


@post("/empty", status_code=200)
async def empty(request: HttpRequest, state: State) -> Prediction:
    """The first answer again."""
    question = parse(await body_of(request, state))
    is_sequence = question.sequence is not None
    if is_sequence not in _ANSWERS:
        _ANSWERS[is_sequence] = predictor.predict(state.store, question, None).prediction
    return _ANSWERS[is_sequence]


if __name__ == "__main__":
    app.ENDPOINTS.append(empty)
    sys.exit(main())
