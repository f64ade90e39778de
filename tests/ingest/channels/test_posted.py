"""The buffer of posts: shared commits, keys, kills, limits, and parts that come back just as they were."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import channels_of, posting
from aerocast.ingest.channels.observations import HttpChannel
from aerocast.ingest.channels.posted import Limits, PostRefusal, PostStore, Why
from aerocast.storage.settings import Settings

BODY = b'{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": %d}'

# Posts forever, from two threads; says which ones were acknowledged, and posts each of them twice.
WRITER = """
import sys, threading
from pathlib import Path
from aerocast.ingest.channels.posted import PostStore
posted, lock = PostStore(Path(sys.argv[1]), "small"), threading.Lock()
def run(name):
    number = 0
    while True:
        number += 1
        key = f"{name}-{number}"
        for _ in range(2):
            posted.post(key, key.encode(), "json", 1)
        with lock:
            print(key, flush=True)
for name in ("a" + sys.argv[2], "b" + sys.argv[2]):
    threading.Thread(target=run, args=(name,)).start()
"""


def put(store: PostStore, number: int, key: str | None = None) -> str:
    return store.post(key, BODY % number, "json", 1).id


def values(table: Any) -> list[int]:
    return [int(text) for text in table["t"].to_pylist()]


def test_concurrent_posts_share_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    commit = posting.Writer.commit

    def counted(self: Any, group: Any) -> Any:
        groups.append(len(group))
        while len(groups) == 1 and len(group) + store._offers.qsize() < 8:
            time.sleep(0.001)  # the first one is slow: all others come meanwhile
        return commit(self, group)

    monkeypatch.setattr(posting.Writer, "commit", counted)
    store = PostStore(tmp_path, "small")
    threads = [threading.Thread(target=lambda n=n: [put(store, 10 * n + i) for i in range(5)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert sum(groups) == 40
    assert sum(groups[:2]) >= 8, "who came during a commit shares the next one"
    assert PostStore(tmp_path, "small").backlog() == 40
    with pytest.raises(PostRefusal, match="being stopped"):
        put(store, 1)


def test_acknowledged_post_survives_kill_once(tmp_path: Path) -> None:
    said: list[str] = []
    for round in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(round)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        for line in process.stdout:
            said.append(line.strip())
            if len(said) == 40 * (round + 1):
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
    said = [key for key in said if "-" in key]
    found = Counter(post.body.decode() for part in PostStore(tmp_path, "small").parts() for post in part.posts)
    assert set(said) <= set(found)
    assert set(found.values()) == {1}
    assert len(found) <= len(said) + 3 * 2  # at most those that were on their way


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    first, second = PostStore(tmp_path, "small"), PostStore(tmp_path, "small")
    threads = [
        threading.Thread(target=lambda s=s, n=n: [put(s, i, f"{i}") for i in range(n, n + 40)])
        for s, n in ((first, 0), (second, 20))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.backlog() == 60, "twenty keys were used by both"
    first.close()
    second.close()


def test_idempotency_key_is_forgotten_after_one_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostStore(tmp_path, "small")
    first = put(store, 1, "k")
    (part,) = store.parts()
    store.forget(part.file, part.position)
    assert put(store, 1, "k") == first
    monkeypatch.setattr(posting, "_PRUNE_SECONDS", 0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 24 * 3600)
    assert put(store, 1, "k") == first
    with pytest.raises(PostRefusal, match="another body") as refused:
        put(store, 2, "k")
    assert refused.value.why is Why.KEY
    monkeypatch.setattr(time, "time", lambda: now + 26 * 3600)
    put(store, 3)  # prunes
    assert put(store, 1, "k") != first
    store.close()


def test_full_buffer_refuses_posts(tmp_path: Path) -> None:
    store = PostStore(tmp_path, "small", Limits(rows=3, bytes=300))
    store.post(None, b"[]", "json", 2)
    for rows, size in ((2, 10), (1, 300)):
        with pytest.raises(PostRefusal) as refused:
            store.post(None, b" " * size, "json", rows)
        assert refused.value.why is Why.FULL
    file = put(store, 1).split("/")[0]
    store.forget(file, 10)
    assert store.backlog() == 0
    put(store, 2)
    store.close()
    slow = PostStore(tmp_path, "small", Limits(pending=0))
    with pytest.raises(PostRefusal, match="waiting for the disk"):
        put(slow, 1)


def test_parts_keep_their_bounds(tmp_path: Path) -> None:
    store = PostStore(tmp_path, "small")
    for number in range(5):
        put(store, number)
    taking = store.parts(rows=2)
    first, second = next(taking), next(taking)
    assert [len(part.posts) for part in (first, second)] == [2, 2]
    put(store, 5)  # and the process that took the two is killed
    again = list(PostStore(tmp_path, "small").parts(rows=100))
    assert again[:2] == [first, second]
    assert [post.id for post in again[2].posts] == [5, 6]
    store.forget(first.file, first.position)
    assert [part.position for part in store.parts()] == [4, 6]
    store.forget(first.file, 6)
    assert list(store.parts()) == []
    large = PostStore(tmp_path, "large")
    for _ in range(3):
        large.post(None, b" " * 1000, "json", 1)
    assert [len(part.posts) for part in large.parts(size=2500)] == [2, 1]
    store.close()
    large.close()


def test_channel_gives_raw_rows_and_position(tmp_path: Path, feed: Feed) -> None:
    store = PostStore(tmp_path, feed.name)
    channel = channels_of(tmp_path, feed, Settings(home=str(tmp_path)))[0]
    assert isinstance(channel, HttpChannel)
    assert channel.backlog() == 0
    assert list(channel.take(feed)) == []
    for number in range(3):
        put(store, number)
    (batch,) = channel.take(feed)
    assert batch.position == 3
    assert values(batch.table) == [0, 1, 2]
    assert batch.table["line"].to_pylist() == [0, 1, 2]
    channel.confirm(batch)
    name = put(store, 3)
    (batch,) = channel.take(feed)
    assert (batch.position, values(batch.table)) == (4, [3])
    assert f"{batch.segment}/4" == f"http/{name}"
    store.close()


def test_post_that_no_longer_fits_is_set_aside_and_blocks_none(tmp_path: Path, feed: Feed) -> None:
    store = PostStore(tmp_path, feed.name)
    put(store, 1)
    store.post(None, b'[{"station": "AAA", "time": "2024-01-05T00:00:00Z", "gone": 1}]', "json", 1)
    store.post(None, b"?", "tablets", 1)
    put(store, 2)
    channel = HttpChannel(tmp_path, feed.name)
    (batch,) = channel.take(feed)
    assert values(batch.table) == [1, 2]
    channel.confirm(batch)
    assert [number for number, _ in store.refusals()] == [2, 3]
    assert "gone" in store.refusals()[0][1]
    assert store.backlog() == 0
    store.post(None, b"?", "tablets", 1)
    assert list(channel.take(feed)) == []
    assert list(store.parts()) == []
    store.close()


def test_recreated_file_is_not_mistaken_for_old_one(tmp_path: Path) -> None:
    store = PostStore(tmp_path, "small")
    first = put(store, 1)
    taking = store.parts(rows=1)
    put(store, 2)
    part = next(taking)
    store.path.unlink()
    second = put(store, 3)  # the connection that was open writes nowhere
    assert first.split("/")[0] != second.split("/")[0]
    assert first.split("/")[1] == second.split("/")[1]
    with pytest.raises(AeroCastError, match="was removed"):
        store.forget(part.file, part.position)
    assert list(taking) == []
    assert PostStore(tmp_path, "small").backlog() == 1
    store.close()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 300])
def test_damaged_file_is_reported(content: bytes, tmp_path: Path, feed: Feed) -> None:
    path = tmp_path / "observations" / f"{feed.name}.sqlite"
    path.parent.mkdir()
    path.write_bytes(content)
    store = PostStore(tmp_path, feed.name)
    with pytest.raises(PostRefusal, match=str(path)) as refused:
        put(store, 1)
    assert refused.value.why is Why.UNUSABLE
    with pytest.raises(AeroCastError, match=str(path)):
        store.backlog()
    with pytest.raises(AeroCastError, match=str(path)):
        list(HttpChannel(tmp_path, feed.name).take(feed))
    path.unlink()
    put(store, 1)
    store.close()


def test_link_in_circle_is_reported_until_post_replaces_it(tmp_path: Path, feed: Feed) -> None:
    path = tmp_path / "observations" / f"{feed.name}.sqlite"
    path.parent.mkdir()
    path.symlink_to(path.name)
    store = PostStore(tmp_path, feed.name)
    with pytest.raises(AeroCastError, match=f"{path} cannot be used: Too many levels"):
        store.backlog()
    put(store, 1)
    assert store.backlog() == 1
    store.close()


def test_locked_file_delays_posts_only_for_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "BUSY_SECONDS", 0.05)
    store = PostStore(tmp_path, "small")
    put(store, 1)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.close()
    store = PostStore(tmp_path, "small")
    with pytest.raises(PostRefusal, match="locked"):
        put(store, 2)
    other.execute("COMMIT")
    other.close()
    put(store, 3)
    store.close()


def test_reading_without_time_goes_to_current_month(tmp_path: Path, feed: Feed) -> None:
    store = PostStore(tmp_path, feed.name)
    late = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1)
    for time_ in ("1999-01-01T00:00:00Z", "2024-02-01T00:00:00+01:00", late.isoformat()):
        store.post(None, BODY.replace(b"2024-01-05T00:00:00Z", time_.encode()) % 1, "json", 1)
    (batch,) = HttpChannel(tmp_path, feed.name).take(feed)
    assert batch.table["month"].to_pylist() == ["2024-04", "2024-01", "2024-04"]
    store.close()
