"""What a cluster of this machine leaves behind is ended, however the process ends that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from waiting import until

STARTER = """
import subprocess, sys, time
from pathlib import Path
from nonzero_service.cli.backfill.cluster import ClusterFolder

with ClusterFolder() as folder:
    log = Path(folder.path, "log").open("w")
    writes = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=log)
    named = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", folder.path])
    print(folder.path, writes.pid, named.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("killed", [True, False])
def test_nothing_is_left(killed: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        folder, *others = process.stdout.readline().split()
        if killed:
            os.kill(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.wait()
    until(lambda: not Path(folder).exists() and not any(map(runs, others)))
    assert process.returncode == (-signal.SIGKILL if killed else 0)


def runs(process: str) -> bool:
    """Whether a process is there, and not only its exit status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
