"""One broker of each kind for all tests of this room; each test uses its own topics."""

from collections.abc import Iterator

import pytest

from tests.harness.brokers import STARTS, RunningBroker


@pytest.fixture(scope="package", params=list(STARTS))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A running broker; tests that use it run once for each kind."""
    with STARTS[request.param](tmp_path_factory.mktemp(request.param)) as broker:
        yield broker
