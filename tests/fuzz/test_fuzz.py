"""Every reader of bytes from outside, fuzzed: a moment each here, minutes each with atheris in the soak.

An input that once broke something stands in FOUND, and is tried first. Alone, for as long as you like:
``PYTHONPATH=tests python -m fuzz TARGET``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import SEEDS, TARGETS
from reporting import Figure

FOUND: dict[str, list[bytes]] = {}
"""Inputs that once broke something."""

SLOW = 1.0
"""Seconds of the processor beyond which an input counts as a hang."""

QUIET = {"deadline": None, "database": None, "derandomize": True}


def tried(target: str, data: bytes) -> None:
    begun = time.thread_time()
    TARGETS[target](data)
    assert time.thread_time() - begun < SLOW


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes(target: str) -> None:
    TARGETS[target](b"")  # compiles, on a machine without machine code
    for data in (*SEEDS.get(target, ()), *FOUND.get(target, ())):
        tried(target, data)

    @settings(max_examples=15, suppress_health_check=list(HealthCheck), **QUIET)  # type: ignore[arg-type]
    @given(st.binary(max_size=120))
    def fuzzed(data: bytes) -> None:
        tried(target, data)

    fuzzed()


def fuzz(target: str, directory: Path, seconds: float, **environment: str) -> tuple[int, str]:
    """Fuzz with atheris in a process of its own; return how many inputs were tried, and what was said."""
    corpus = directory / "inputs"
    corpus.mkdir(exist_ok=True)
    for n, data in enumerate((*SEEDS.get(target, ()), *FOUND.get(target, ()))):
        (corpus / str(n)).write_bytes(data)
    options = [f"-max_total_time={seconds:.0f}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=4096"]
    command = [sys.executable, "-W", "ignore", "-m", "fuzz", target, *options, str(corpus)]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    tries = re.findall(r"Done (\d+) runs", said)
    return int(tries[-1]), said


@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="there is no atheris for this Python")
@pytest.mark.parametrize("target", TARGETS)
def test_atheris(target: str, tmp_path: Path, pytestconfig: pytest.Config, figure: Figure) -> None:
    seconds = pytestconfig.getoption("--fuzz-seconds")
    tries, _ = fuzz(target, tmp_path, seconds)
    again, _ = fuzz(target, tmp_path, 1, NONZERO_KERNELS="checked")
    figure(
        f"atheris: {target}",
        "no crash, no hang, the same rows in any chunking and by the plain parser",
        f"{tries:,} inputs in {seconds:.0f} s, {again:,} with bounds checked: none",
    )
