"""Bubblewrap, which stands in for a container's engine: it needs no service of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

__all__ = ["bubblewrap"]


def bubblewrap() -> str:
    """Return the program, installed where it is missing and that is allowed; else skip."""
    if shutil.which("bwrap") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        # Another process of the tests may be at it too.
        install = ["apt-get", "install", "-qq", "--no-install-recommends", "bubblewrap"]
        install += ["--option", "DPkg::Lock::Timeout=60"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
    found = shutil.which("bwrap")
    if found is None:
        pytest.skip("bubblewrap is not installed: apt-get install bubblewrap")
    return found
