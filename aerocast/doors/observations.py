"""The HTTP door, seen from the platform: posts that the server has on disk become batches of raw's rows."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import pyarrow as pa

from aerocast import clock
from aerocast.doors.base import Batch
from aerocast.doors.posted import Part, Post, Posted
from aerocast.doors.readings import as_batch, parse_arrow, parse_json, parse_json_lines, to_raw
from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast.home import Home

SOURCE = "http"
log = logging.getLogger("aerocast.doors")


class Observations:
    """Implements `Door`. The segment is that of the file of posts, the position the newest post's number."""

    name = SOURCE

    def __init__(self, home: Home, feed: str) -> None:
        self._home, self._posted = home, Posted(home, feed)
        self.rejected: list[str] = []

    def waiting(self) -> int:
        """Readings that are not taken yet."""
        return self._posted.waiting()

    def take(self, feed: Feed) -> Iterator[Batch]:
        """A part at a time. A post that does not fit the declaration any more is put aside in the file of posts."""
        for part in self._posted.parts():
            segment = f"{SOURCE}/{part.file}"
            tables = list(self._tables(feed, part, clock.now(self._home, feed.name, feed.end)))
            if sum(map(len, tables)):
                yield Batch(segment, as_batch(tables, segment), part.position)
            else:
                self._posted.forget(part.file, part.position)

    def done(self, batch: Batch) -> None:
        """Forgets the posts; their keys stay."""
        assert batch.position is not None
        self._posted.forget(batch.segment.removeprefix(f"{SOURCE}/"), batch.position)

    def _tables(self, feed: Feed, part: Part, now: datetime) -> Iterator[pa.Table]:
        """Runs of posts of a kind together: one at a time only where something is wrong with one of them."""
        for kind, group in groupby(part.posts, key=lambda post: post.kind):
            run = list(group)
            try:
                yield to_raw(feed, _together(kind, run), SOURCE, "", now)
            except (AeroCastError, pa.ArrowException):
                for post in run:
                    yield from self._alone(feed, part.file, post, now)

    def _alone(self, feed: Feed, file: str, post: Post, now: datetime) -> Iterator[pa.Table]:
        try:
            yield to_raw(feed, _together(post.kind, [post]), SOURCE, "", now)
        except (AeroCastError, pa.ArrowException) as error:
            log.warning("post %d of %s is put aside: %s", post.id, feed.name, error)
            self.rejected.append(f"post {post.id}: {error}")
            self._posted.put_aside(file, post, str(error))


def _together(kind: str, posts: Sequence[Post]) -> pa.Table:
    if kind == "json":
        return parse_json(_joined([post.body for post in posts]))
    if kind == "ndjson":
        return parse_json_lines(b"\n".join(post.body for post in posts))
    if kind == "arrow":
        return pa.concat_tables([parse_arrow(post.body) for post in posts], promote_options="permissive")
    raise AeroCastError(f"a post of kind {kind!r} is from another version of the server")


def _joined(bodies: Sequence[bytes]) -> bytes:
    """Objects and arrays of objects as one array: parsing each alone would make a table of each."""
    inner = [body[1:-1].strip() if body.startswith(b"[") else body for body in (each.strip() for each in bodies)]
    return b"[" + b",".join(each for each in inner if each) + b"]"
