"""Stations and values that are SQL, templates or paths come into raw as the texts that they are."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.inbox import Inbox
from aerocast.ingest.channels.intake import take_all
from aerocast.ingest.channels.observations import HttpChannel
from aerocast.ingest.channels.posted import PostStore
from aerocast.lake import Lake
from tests.factories.feeds import small_feed
from tests.factories.odd_texts import odd_texts

TIME = datetime(2024, 1, 1, tzinfo=UTC).isoformat()


def readings(texts: list[str]) -> list[dict[str, str]]:
    return [{"station": station, "time": TIME, "t": value} for station in texts for value in texts]


@settings(deadline=None, max_examples=25)
@given(st.lists(odd_texts.filter(lambda text: text.strip() == text != ""), min_size=1, max_size=4, unique=True))
def test_texts_of_readings_are_kept_as_sent(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    home: Path = tmp_path_factory.mktemp("home")
    feed: Feed = small_feed(home)
    sent, posts = readings(texts), PostStore(home, feed.name)
    posts.post(None, json.dumps(sent).encode(), "json", len(sent))
    posts.close()
    inbox = home / "inbox" / feed.name
    inbox.mkdir(parents=True)
    (inbox / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in sent))
    lake = Lake(home)
    channels = [HttpChannel(home, feed.name), Inbox(str(home / "inbox"), home, feed.name, grace=0)]
    report = take_all(lake, feed, channels)
    assert report.failures == {}
    assert report.rejections == []
    with duckdb.connect() as con:
        stored = lake.relation(con, f"{feed.name}/raw").select("station, t").fetchall()
    assert sorted(stored) == sorted([(each["station"], each["t"]) for each in sent] * 2)
