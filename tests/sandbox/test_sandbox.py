"""The whole suite as a user without privileges, on a root that can only be read, without a network.

Bubblewrap stands in for a container: everything is there, and nothing can be written to but ``/tmp`` and
``/dev/shm``. The machine code of kernels is found where this user keeps it, as in an image.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bubblewrap import bubblewrap
from reporting import Figure

ROOT = Path(__file__).parents[2]


def sandbox() -> list[str]:
    """Return the command that runs another in the sandbox."""
    command = [bubblewrap(), "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    command += [
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/dev/shm",
    ]
    data = os.environ.get("NONZERO_DATA")
    needed = {
        ROOT,
        Path(sys.prefix),
        Path(sys.base_prefix),
        *(map(Path, filter(None, [data, *sys.path]))),
    }
    for path in sorted(needed):  # what stands below /tmp would be hidden
        if path.is_relative_to("/tmp") and path.exists():
            command += ["--ro-bind", str(path), str(path)]
    return [*command, "--chdir", str(ROOT)]


def environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "NONZERO_DATA") if name in os.environ}
    return kept | {
        "HOME": "/tmp",
        "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.mark.soak
def test_the_suite_passes_where_nothing_can_be_written(figure: Figure) -> None:
    command = sandbox()
    tried = subprocess.run(
        [*command, "sh", "-c", f"id -u; touch {ROOT}/README.md; touch /etc/hostname"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if not tried.stdout:
        pytest.skip(f"no sandbox can be made here: {tried.stderr.strip()}")
    assert tried.stdout == "65534\n"
    assert tried.stderr.count("Read-only file system") == 2
    suite = [sys.executable, "-m", "pytest", "--numprocesses", "2", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run([*command, *suite], env=environment(), capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2]
    figure(
        "the whole suite as user 65534 without capabilities or network, on a read-only root (bubblewrap)",
        "it passes",
        re.sub(r"[=]", "", last).strip(),
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
