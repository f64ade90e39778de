"""What a table remembers of deliveries: enough that none is taken twice, and no more after years than after a day."""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from aerocast.ingest.channels import claims
from aerocast.lake import Lake, Slot, ledger, memory
from aerocast.operations import retention
from tests.factories.claims import hours_in_raw, lookup_of, write_object
from tests.factories.feeds import small_feed
from tests.harness.memory_broker import MemoryBroker

RAW = "small/raw"
ROWS = pa.table({"month": ["2024-01"], "value": [1.0]})


def known(lake: Lake, start: str, name: str = RAW) -> set[str]:
    return {each for each in lake.ledger(name).records if each.startswith(start)}


def newest_checkpoint(lake: Lake) -> set[str]:
    """The transactions in the file itself."""
    log = ledger.log_of(lake.table(RAW))
    path = f"{lake.uri(RAW)}/_delta_log/{ledger.checkpoints(log)[-1]:020d}.checkpoint.parquet"
    stored = pq.read_table(path, columns=["txn"])["txn"].combine_chunks().drop_null()
    return set(stored.field("appId").to_pylist())


def deliver(lake: Lake, start: int, commits: int, of: int = 50, rows: pa.Table = ROWS) -> list[str]:
    """So many claims, several to a commit; their segments, the oldest first."""
    names = []
    for number in range(start, start + commits):
        version = lake.version(RAW)
        names += (own := [f"claim/{number:06d}/{each}" for each in range(of)])
        assert lake.amend(RAW, rows, dict.fromkeys(own, (version or 0) + 1), upon=version)
    return names


def test_newest_deliveries_are_remembered_and_older_forgotten(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    names = deliver(lake, 0, 42, 60)
    assert set(names[-memory.MEMORY :]) <= known(lake, "claim/")
    assert len(known(lake, "claim/")) < 2 * memory.MEMORY
    assert len(newest_checkpoint(lake)) < 2 * memory.MEMORY
    assert not lake.ledger(RAW).has_segment(names[0])
    assert not lake.append(RAW, ROWS, names[-1]), "what may come again is known"
    assert known(lake, "content/"), "and all else that the commits say stays"


def test_file_in_several_parts_is_one_delivery(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    file = [f"inbox/{'a' * 64}/{part}" for part in range(2 * memory.MEMORY)]
    lake.amend(RAW, ROWS, dict.fromkeys(file, 0), upon=None)
    others = [f"inbox/{number:064x}/0" for number in range(2 * memory.MEMORY)]
    held = dict.fromkeys(file, 1) | {name: 2 + at for at, name in enumerate(others[: memory.MEMORY - 1])}
    table = lake.table(RAW)
    assert memory.expirations(table, held) == []
    held |= {name: 2 + at for at, name in enumerate(others)}
    gone = {each.app_id for each in memory.expirations(table, held)}
    assert gone == {*file, *others[: memory.MEMORY]}


@pytest.mark.e2e
def test_transactions_of_older_home_are_removed_once_old(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_deltalake(lake.uri(RAW), ROWS.append_column("delivery", pa.array([0])), partition_by=["month"])
    old = [f"claim/old/{number}" for number in range(3 * memory.MEMORY)]
    assert lake.amend(RAW, ROWS, dict.fromkeys(old, 1), upon=0)
    retention.set_log_properties(lake, RAW)
    deliver(lake, 0, 35, 5)
    assert known(lake, "claim/old/") == set(old), "any of them may be the last one before the upgrade"
    deliver(lake, 35, 35, 60)
    assert not known(lake, "claim/old/")
    assert DeltaTable(lake.uri(RAW)).transaction_version(old[0]) is None


def test_slot_remembers_its_content_only(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for number in range(30):
        assert lake.append(RAW, ROWS, Slot("file/x 2024-01", f"{number}"))
    assert known(lake, "file/") == {"file/x 2024-01"}
    assert Slot("file/x 2024-01", "29").is_delivered(lake.ledger(RAW))
    assert not Slot("file/x 2024-01", "28").is_delivered(lake.ledger(RAW))


def test_claims_repeated_after_years_are_recognised(tmp_path: Path) -> None:
    feed, broker, lake = small_feed(tmp_path / "none.csv"), MemoryBroker(), Lake(tmp_path / "home")
    for hour in range(3):
        file = write_object(tmp_path / f"{hour}.parquet", [hour])
        claims.announce(broker, claims.TRAINING_TOPIC, feed, [file], tmp_path / "home")  # type: ignore[arg-type]
    sent = [each._replace(position=at) for each, at in zip(broker.queue, ("0:1", "1:1", "0:2"), strict=True)]
    broker.queue = list(sent)
    claims.take_claims(broker, tmp_path / "home", lookup_of(feed))  # type: ignore[arg-type]
    assert hours_in_raw(tmp_path / "home") == [0, 1, 2]
    deliver(lake, 0, 35, 50, lake.table(RAW).to_pyarrow_table().drop_columns("delivery").slice(0, 0))
    assert not known(lake, "claim/") & {msgspec.json.decode(each.body, type=claims.Claim).segment for each in sent}
    file = write_object(tmp_path / "9.parquet", [9])
    claims.announce(broker, claims.TRAINING_TOPIC, feed, [file], tmp_path / "home")  # type: ignore[arg-type]
    broker.queue = [sent[0], broker.queue.pop()._replace(position="0:9"), *sent[1:]]
    again = claims.take_claims(broker, tmp_path / "home", lookup_of(feed))  # type: ignore[arg-type]
    assert (again.repeats, len(again.claims)) == (3, 1)
    assert hours_in_raw(tmp_path / "home") == [0, 1, 2, 9]
