"""What several endpoints take: the parameters of an address, and a small JSON body."""

from typing import Annotated, Any

from litestar import Request
from litestar.datastructures import State
from litestar.params import PathParameter, QueryParameter

from serving import problems
from serving.body import read
from serving.parsing import check_content_type

Feed = Annotated[str | None, QueryParameter(description="Needed only where several feeds are served.")]
Station = Annotated[str, PathParameter(description="A station of the feed.")]
AnyStation = Annotated[str | None, QueryParameter(description="Default: every station.")]
Target = Annotated[str | None, QueryParameter(description="Default: the feed's first served target, or every one.")]
HttpRequest = Request[Any, Any, State]
TIME: dict[str, Any] = {"format": "date-time"}  # of a parameter: texts are read by ourselves, for better errors


async def body_of(request: HttpRequest, state: State) -> bytes:
    """The body of a request in JSON. Raises a problem: 413, 415, 429."""
    check_content_type(request.headers.get("content-type"))
    with state.observations.room.share() as share:
        return await read(request, problems.MAX_BODY, share)
