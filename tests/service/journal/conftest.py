"""Where faults are tried."""

from collections.abc import Iterator

import pytest

from service.journal.forking import Forking, forking


@pytest.fixture(scope="session")
def forks() -> Iterator[Forking]:
    """A process that has imported everything, from which others are forked."""
    with forking() as server:
        yield server
