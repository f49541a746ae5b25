"""An fsync that fails: 503, the process ends at once, and a repeat after a new start counts once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from nonzero_service.server import LAST_SECONDS
from service.conftest import Start
from service.faults.clients import PATH
from service.straced import needs_strace, traced
from waiting import SECONDS, until

BODY = b"1 |f a\n-1 |f b\n"
HEADERS = {"content-type": "text/x-vw", "idempotency-key": "k"}


@needs_strace
@pytest.mark.parametrize("slow_client", [False, True], ids=["alone", "beside a client that does not end"])
def test_the_outcome_is_unknown_and_the_process_ends(
    serve: Start, memory_path: Path, slow_client: bool
) -> None:
    data_dir = memory_path / "data"
    service = serve(data_dir, grace_seconds=10 * SECONDS).until_ready()
    with service.client() as client, socket.create_connection((service.host, service.port)) as slow:
        if slow_client:
            head = f"POST {PATH}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
            slow.sendall(head.encode() + b"content-length: 99\r\n\r\n" + BODY)
            until(lambda: client.get(PATH).json()["sequence"] == 2)
        known = client.get(PATH).json()["sequence"]
        with traced(service.child, "-e", "inject=fdatasync:error=EIO", "-e", "trace=fdatasync"):
            answer = client.post(f"{PATH}/update", content=BODY, headers=HEADERS)
            service.until_ended()  # which does not wait for clients, whose grace would be far longer
    assert LAST_SECONDS < 1
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "outcome is unknown" in answer.json()["detail"]
    assert service.until_ended() == 1
    assert any(line["event"] == "stopping" for line in service.log)

    again = serve(data_dir).until_ready()
    with again.client() as client:
        repeated = client.post(f"{PATH}/update", content=BODY, headers=HEADERS)
        assert (repeated.status_code, repeated.json()["accepted"]) == (200, 2)
        assert client.get(PATH).json()["sequence"] == known + 2
        assert client.post(f"{PATH}/update", content=BODY, headers=HEADERS).json()["replayed"] == 2
    assert again.kill() == -9
