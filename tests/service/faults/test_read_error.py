"""A disk that refuses to read impressions for a while: labels wait for it, and no impression is stranded."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from service.conftest import SERVE, ServiceProcess
from service.faults.clients import PATH
from service.writer.test_breaker import told

FAILING = (
    """
import errno, os
from pathlib import Path
read, broken = os.pread, Path(os.environ["BROKEN"])
def pread(descriptor, size, offset):
    if broken.exists() and os.readlink(f"/proc/self/fd/{descriptor}").endswith(".rows"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return read(descriptor, size, offset)
os.pread = pread
"""
    + SERVE
)

N = 1500


class Failing(ServiceProcess):
    """A service whose disk refuses to read records while a file is there."""

    program = FAILING


def test_a_read_error_strands_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    Failing.environment = {"BROKEN": str(broken)}
    running = Failing(tmp_path / "data", bits=8, attribution_seconds=3).until_ready()
    with running.client() as client:
        rows = [{"features": {"a": f"b{j % 7}"}, "id": f"i{j}"} for j in range(N)]
        assert client.post(f"{PATH}/predict", json={"examples": rows}).status_code == 200
        broken.touch()
        begun = time.monotonic()
        answer = client.post(f"{PATH}/labels", json={"id": "i0", "label": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - begun < 2
        while not any(line.get("event") == "windows could not be ended" for line in running.log):
            assert time.monotonic() < begun + 20
            time.sleep(0.01)
        broken.unlink()
        assert told(client, "nonzero_pending_labels") == N
        assert 'outcome="expired"} 0.0' in client.get("/metrics").text
        while told(client, "nonzero_pending_labels"):
            assert time.monotonic() < begun + 30
            time.sleep(0.05)
        while client.get(PATH).json()["sequence"] < N:
            assert time.monotonic() < begun + 30
            time.sleep(0.05)
        assert f'outcome="expired"}} {N}.0' in client.get("/metrics").text
        assert client.post(f"{PATH}/labels", json={"id": "i9", "label": 1}).json()["corrected"] == 1
    running.stop(signal.SIGKILL)
