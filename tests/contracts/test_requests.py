"""Requests for a retrain: durable, one open a target, closed by whoever took it up."""

import threading
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import requests
from aerocast.contracts.requests import Request


def test_second_request_returns_open_one(tmp_path: Path) -> None:
    first = requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
    assert requests.request_retrain(tmp_path, "noaa", "temperature", "another reason") == first
    other = requests.request_retrain(tmp_path, "noaa", "pressure", "too old")
    assert requests.open_requests(tmp_path, "noaa") == {"temperature": first, "pressure": other}
    assert requests.open_requests(tmp_path, "midwest") == {}


def test_force_is_added_to_open_request(tmp_path: Path) -> None:
    first = requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
    forced = requests.request_retrain(tmp_path, "noaa", "temperature", "forced", force=True)
    assert (forced.id, forced.force) == (first.id, True)
    assert requests.request_retrain(tmp_path, "noaa", "temperature", "too old") == forced
    assert requests.open_requests(tmp_path, "noaa") == {"temperature": forced}


def test_closed_request_allows_new_one(tmp_path: Path) -> None:
    first = requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
    requests.close_request(tmp_path, "noaa", "temperature", first)
    requests.close_request(tmp_path, "noaa", "temperature", first)
    assert requests.open_requests(tmp_path, "noaa") == {}
    second = requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
    assert second.id != first.id
    requests.close_request(tmp_path, "noaa", "temperature", first)
    assert requests.open_requests(tmp_path, "noaa") == {"temperature": second}, (
        "an old one's end does not close the new one"
    )


def test_concurrent_requests_get_same_one(tmp_path: Path) -> None:
    found: list[Request] = []
    threads = [
        threading.Thread(target=lambda: found.append(requests.request_retrain(tmp_path, "noaa", "temperature", "now")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({request.id for request in found}) == 1


def test_damaged_request_is_reported_and_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "requests" / "noaa" / "temperature.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(AeroCastError, match="cannot be read"):
        requests.open_requests(tmp_path, "noaa")
    made = requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
    assert requests.open_requests(tmp_path, "noaa") == {"temperature": made}


def test_place_says_whose_request_it_is(tmp_path: Path) -> None:
    made = requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
    path = tmp_path / "requests" / "noaa" / "temperature.json"
    path.write_bytes(path.read_bytes().replace(b"{", b'{"feed":"~oaa","target":"4emperature",', 1))
    assert requests.open_requests(tmp_path, "noaa") == {"temperature": made}
    requests.close_request(tmp_path, "noaa", "temperature", made)
    assert requests.open_requests(tmp_path, "noaa") == {}


@pytest.mark.parametrize("name", ["../noaa", "", "NOAA", "a/b"])
def test_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AeroCastError, match="is not the name of a feed"):
        requests.request_retrain(tmp_path, name, "temperature", "too old")
    with pytest.raises(AeroCastError, match="is not the name of a feed"):
        requests.request_retrain(tmp_path, "noaa", name, "too old")


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "requests").write_text("")
    with pytest.raises(AeroCastError, match="could not be written"):
        requests.request_retrain(tmp_path, "noaa", "temperature", "too old")
