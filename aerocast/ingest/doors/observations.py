"""The HTTP door, seen from the platform: posts that the server has on disk become batches of raw's rows."""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.contracts import clock
from aerocast.feed.model import Feed
from aerocast.ingest.doors.arrow import as_texts, parse_arrow, table_of
from aerocast.ingest.doors.base import Batch
from aerocast.ingest.doors.definition import Definition, ReadingRows, bounded
from aerocast.ingest.doors.posted import Post, PostStore
from aerocast.ingest.doors.readings import as_batch, definition_of, to_raw
from aerocast.storage.home import Home

SOURCE = "http"
log = logging.getLogger("aerocast.ingest.doors")


class _Body(NamedTuple):
    """The readings of one post, and the fields of them that are not declared."""

    found: ReadingRows | pa.Table
    rows: int
    ignored: tuple[str, ...]


class ObservationDoor:
    """Implements `Door`. The segment is that of the file of posts, the position the newest post's number."""

    name = SOURCE

    def __init__(self, home: Home, feed: str) -> None:
        self._home, self._posted = home, PostStore(home, feed)
        self.rejected: list[str] = []
        self.notes: list[str] = []

    def waiting(self) -> int:
        """Readings that are not taken yet."""
        return self._posted.waiting()

    def take(self, feed: Feed) -> Iterator[Batch]:
        """A part at a time. A post that does not fit the declaration any more is put aside in the file of posts."""
        definition, ignored = definition_of(feed), dict[str, None]()
        for part in self._posted.parts():
            segment, now = f"{SOURCE}/{part.file}", clock.now(self._home, feed.name, feed.end)
            bodies = [body for post in part.posts if (body := self._read(definition, part.file, post)) is not None]
            ignored |= dict.fromkeys(name for body in bodies for name in body.ignored)
            if any(body.rows for body in bodies):
                rows = to_raw(feed, _together(definition, bodies), SOURCE, "", now, [body.rows for body in bodies])
                yield Batch(segment, as_batch([rows], segment), part.position)
            else:
                self._posted.forget(part.file, part.position)
        if ignored:
            self.notes.append(f"{SOURCE}: ignored, for they are not declared: {', '.join(bounded(ignored))}")

    def done(self, batch: Batch) -> None:
        """Forgets the posts; their keys stay."""
        assert batch.position is not None
        self._posted.forget(batch.segment.removeprefix(f"{SOURCE}/"), batch.position)

    def _read(self, definition: Definition, file: str, post: Post) -> _Body | None:
        """What the post holds; None if it had to be put aside."""
        try:
            return _body(definition, post)
        except (AeroCastError, pa.ArrowException) as error:
            log.warning("post %d of %s is put aside: %s", post.id, definition.name, error)
            self.rejected.append(f"post {post.id}: {error}")
            self._posted.put_aside(file, post, str(error))
            return None


def _body(definition: Definition, post: Post) -> _Body:
    if post.kind == "arrow":
        table, ignored = as_texts(definition, parse_arrow(post.body))
        return _Body(table, len(table), ignored)
    if post.kind not in ("json", "ndjson"):
        raise AeroCastError(f"a post of kind {post.kind!r} is from another version of the server")
    found = definition.json(post.body) if post.kind == "json" else definition.json_lines(post.body)
    if found.ignored:  # fields that were declared when it was taken, and all that it has
        definition.check_measured(found)
    return _Body(found, len(found.rows), found.ignored)


def _together(definition: Definition, bodies: Sequence[_Body]) -> pa.Table:
    """Their readings in one table; those of JSON that stand together are made one at once, for speed."""
    tables: list[pa.Table] = []
    for is_table, run in groupby((body.found for body in bodies), key=lambda found: isinstance(found, pa.Table)):
        found = list(run)
        tables += found if is_table else [table_of(definition, found)]
    return pa.concat_tables(tables, promote_options="default")
