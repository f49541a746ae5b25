"""One service for all tests of safety, with narrow limits: nothing here may need seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.conftest import ServiceProcess

LIMITS = {
    "max_header_bytes": "16KiB",
    "max_headers": 50,
    "header_seconds": 1,
    "body_idle_seconds": 1,
    "keep_alive_seconds": 1,
    "answer_idle_seconds": 1,
    "max_body_bytes": "1MiB",
    "max_decompressed_bytes": "64MiB",
}


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with narrow limits; nothing that a client sends is an error of it."""
    running = ServiceProcess(tmp_path_factory.mktemp("narrow"), **LIMITS).until_ready()
    yield running
    assert running.stop() == 0
    failures = [line for line in running.log if line.get("level") in ("error", "critical", None)]
    assert not failures, failures
