"""The refusals that the API's document names for each endpoint, by status."""

from litestar.openapi.datastructures import ResponseSpec

from serving.batch import BatchAnswer
from serving.schemas import Problem


def refusal(description: str) -> ResponseSpec:
    """A problem document in the description of an endpoint."""
    return ResponseSpec(Problem, description=description, media_type="application/problem+json")


REFUSED = {
    400: refusal("The body is not JSON."),
    410: refusal("The feed, or the target, is retired: it is no longer declared."),
    413: refusal("The body is too large."),
    415: refusal("The body is of another content type."),
    422: refusal("A field breaks a rule; the problem names field, value and rule."),
    503: refusal("No release, or no readings to forecast from."),
}
ABSENT = {
    400: refusal("A parameter breaks a rule."),
    410: REFUSED[410],
    422: refusal("There is no such feed, target or station; the problem names those that there are."),
    503: REFUSED[503],
}
BUSY = {429: refusal("Too many requests wait; try again after Retry-After seconds.")}
BATCH = {
    200: ResponseSpec(list[BatchAnswer], description="An answer a request, in their order.", generate_examples=False),
    406: refusal("Answers are JSON or an Arrow stream."),
    413: refusal("The body is too large, or holds more than 128 requests."),
    422: refusal("The body holds no list of requests; what is wrong with one is said in its place."),
}
SERIES = {
    **{status: REFUSED[status] for status in (400, 410, 415, 503)},
    404: refusal("There is no such model."),
    413: BATCH[413],
    422: refusal("A field breaks a rule; what is wrong with one series is said in its output."),
}
UNEXPLAINED = {409: refusal("The release is older than explanations: it has no typical rows.")}
DENIED = {
    401: refusal("There is no token, or it is unknown, revoked or expired."),
    403: refusal("The token has a lesser scope, or a page of another origin asks."),
}
NOT_KEPT = {
    400: refusal("A reading is malformed; the problem names its index, field, value, rule."),
    404: refusal("There is no such feed; the problem lists the feeds."),
    410: refusal("The feed is retired: it is no longer declared."),
    413: REFUSED[413],
    415: REFUSED[415],
    422: refusal("The key was used for another body."),
    429: refusal("Too much waits for the platform; try again after Retry-After seconds."),
    503: refusal("The readings cannot be stored; none of them is."),
    507: refusal("The disk is full; nothing is stored."),
}
ODD = {400: refusal("A parameter breaks a rule.")}
UNKNOWN = {404: refusal("No answer with that id is known.")}
