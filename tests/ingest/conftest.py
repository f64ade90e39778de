"""One broker of each kind for all tests here; each test has topics of its own."""

from collections.abc import Iterator

import pytest

from tests.harness.brokers import STARTS, Running


@pytest.fixture(scope="package", params=list(STARTS))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A broker that runs: tests that ask for it are run once for each kind."""
    with STARTS[request.param](tmp_path_factory.mktemp(request.param)) as broker:
        yield broker
