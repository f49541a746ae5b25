"""A disk that refuses to read impressions for a while: labels wait for it, and no impression is stranded."""

from __future__ import annotations

import signal
from pathlib import Path

from service.conftest import FOLLOW, SERVE, Clocked
from service.faults.clients import PATH
from service.series import series
from waiting import until

FAILING = (
    """
import os
from pathlib import Path
from nonzero_service.journal.errors import JournalError
from nonzero_service.journal.sqlite.journal import Journal
read, broken = Journal.read_part, Path(os.environ["CLOCK"]).with_name("broken")
def read_part(journal, position, offset, size):
    if broken.exists():
        raise JournalError("the disk does not read it")
    return read(journal, position, offset, size)
Journal.read_part = read_part
"""
    + FOLLOW
    + SERVE
)

N = 1500


class Failing(Clocked):
    """A service whose disk refuses to read records while a file is there."""

    program = FAILING


def test_a_read_error_strands_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    running = Failing(tmp_path, bits=8, negatives="at_end").until_ready()
    with running.client() as client:
        rows = [{"features": {"a": f"b{j % 7}"}, "id": f"i{j}"} for j in range(N)]
        assert client.post(f"{PATH}/predict", json={"examples": rows}).status_code == 200
        until(lambda: series(client, "nonzero_pending_labels") == N)
        broken.touch()
        answer = client.post(f"{PATH}/labels", json={"id": "i0", "label": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        running.clock.pass_by(3600)
        until(lambda: running.lines("windows could not be ended"))
        until(
            lambda: series(client, "nonzero_pending_labels") == N
        )  # of which a look claims some for a moment
        assert 'outcome="expired"} 0.0' in client.get("/metrics").text
        broken.unlink()
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        until(lambda: client.get(PATH).json()["sequence"] == N)
        assert f'outcome="expired"}} {N}.0' in client.get("/metrics").text
        assert client.post(f"{PATH}/labels", json={"id": "i9", "label": 1}).json()["corrected"] == 1
    running.stop(signal.SIGKILL)
