"""One service for all tests of safety, with narrow limits: nothing here may need seconds."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from plain_http import client_of
from service.conftest import ServiceProcess
from service.safety.raw import TOKENS

BODY_IDLE_SECONDS = 1
LIMITS = {
    "max_header_bytes": "16KiB",
    "max_headers": 50,
    "header_seconds": 1,
    "body_idle_seconds": BODY_IDLE_SECONDS,
    "keep_alive_seconds": 1,
    "answer_idle_seconds": 1,
    "max_body_bytes": "1MiB",
    "max_decompressed_bytes": "16MiB",
    "max_upload_bytes": "64MiB",
    "max_requests": 16,
    "max_features": 1000,
    "max_examples": 1000,
}


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with narrow limits; nothing that a client sends is an error of it."""
    place = tmp_path_factory.mktemp("narrow")
    tokens = place / "tokens"
    tokens.write_text("".join(f"{scope} {token}\n" for scope, token in TOKENS.items()))
    tokens.chmod(0o600)
    # What one test sends is a jump to what another has sent: that is not what they are about.
    settings = LIMITS | {"token_file": str(tokens), "breaker": "off"}
    running = ServiceProcess(place / "data", **settings).until_ready()
    yield running
    assert running.stop() == 0
    assert not running.failures()
    assert not [line for line in running.log if "Traceback" in line.get("text", "")]
    assert not [line for line in running.log if any(token in str(line) for token in TOKENS.values())]


@pytest.fixture(scope="session")
def stranger(narrow: ServiceProcess) -> Iterator[httpx.Client]:
    """A client without a token."""
    with client_of(narrow.url) as client:
        yield client
