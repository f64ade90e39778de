"""Turns the posts that the server has on disk into batches of raw's rows."""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.common.words import printable
from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.arrow import as_texts, parse_arrow, table_of
from aerocast.ingest.channels.base import Batch
from aerocast.ingest.channels.definition import Definition, ReadingRows, short_list
from aerocast.ingest.channels.posted import Post, PostStore
from aerocast.ingest.channels.readings import definition_of, one_batch, to_raw
from aerocast.ingest.deliveries.layout import Layout
from aerocast.lake import Lake
from aerocast.storage.home import Home

SOURCE = "http"
log = logging.getLogger("aerocast.ingest.channels")


class _Body(NamedTuple):
    """The readings of one post, and the fields of them that are not declared."""

    content: ReadingRows | pa.Table
    rows: int
    ignored: tuple[str, ...]


class HttpChannel:
    """Implements `Channel`. The segment is that of the file of posts, the position the newest post's number."""

    name = SOURCE

    def __init__(self, home: Home, feed: str) -> None:
        self._home, self._store = home, PostStore(home, feed)
        self.rejections: list[str] = []
        self.notes: list[str] = []

    def backlog(self) -> int:
        """Readings that are not taken yet."""
        return self._store.backlog()

    def take(self, feed: Feed) -> Iterator[Batch]:
        """A part at a time. A post that does not fit the declaration any more is put aside in the file of posts."""
        definition, layout, ignored_names = definition_of(feed), Layout(feed), dict[str, None]()
        ledger = Lake(self._home).ledger(f"{feed.name}/raw")
        if self._store.rename_restored(lambda file: ledger.position(f"{SOURCE}/{file}")):
            self.notes.append(f"{SOURCE}: an older copy of the posts was put back; what raw has of it is taken again")
        for part in self._store.parts():
            segment, now = f"{SOURCE}/{part.file}", clock.now(self._home, feed.name, feed.end)
            bodies = [
                body for post in part.posts if (body := self._parse_post(definition, part.file, post)) is not None
            ]
            ignored_names |= dict.fromkeys(name for body in bodies for name in body.ignored)
            if any(body.rows for body in bodies):
                rows = to_raw(
                    feed, _together(definition, bodies), SOURCE, "", now, [body.rows for body in bodies], layout=layout
                )
                yield Batch(segment, one_batch([rows], segment), part.position)
            else:
                self._store.forget(part.file, part.position)
        self.notes += [f"{SOURCE}: {note}" for note in layout.notes]
        if ignored_names:
            self.notes.append(
                f"{SOURCE}: ignored because they are not declared: {', '.join(short_list(ignored_names))}"
            )

    def confirm(self, batch: Batch) -> None:
        """Forgets the posts; their keys stay."""
        assert batch.position is not None
        self._store.forget(batch.segment.removeprefix(f"{SOURCE}/"), batch.position)

    def _parse_post(self, definition: Definition, file: str, post: Post) -> _Body | None:
        """What the post holds; None if it had to be put aside."""
        try:
            return _body(definition, post)
        except Exception as error:  # whatever one post leads to must not stop those behind it
            reason = printable(str(error) or type(error).__name__)
            log.warning("post %d of %s is set aside: %s", post.id, definition.name, reason)
            self.rejections.append(f"post {post.id}: {reason}")
            self._store.put_aside(file, post, reason)
            return None


def _body(definition: Definition, post: Post) -> _Body:
    if post.kind == "arrow":
        table, ignored_names = as_texts(definition, parse_arrow(post.body))
        return _Body(table, len(table), ignored_names)
    if post.kind not in ("json", "ndjson"):
        raise AeroCastError(f"a post of kind {post.kind!r} is from another version of the server")
    readings = definition.json(post.body) if post.kind == "json" else definition.json_lines(post.body)
    if readings.ignored:  # fields that were declared when it was taken, and all that it has
        definition.check_measured(readings)
    return _Body(readings, len(readings.rows), readings.ignored)


def _together(definition: Definition, bodies: Sequence[_Body]) -> pa.Table:
    """Their readings in one table; those of JSON that stand together are made one at once, for speed."""
    tables: list[pa.Table] = []
    for is_table, group in groupby(
        (body.content for body in bodies), key=lambda contents: isinstance(contents, pa.Table)
    ):
        contents = list(group)
        tables += contents if is_table else [table_of(definition, contents)]
    return pa.concat_tables(tables, promote_options="default")
