"""Services with logs of their own."""

from collections.abc import Iterator

import pytest

from service.faults.forked import Forking, forking


@pytest.fixture(scope="module")
def services() -> Iterator[Forking]:
    """A process that has imported everything, from which services are forked."""
    with forking() as server:
        yield server
