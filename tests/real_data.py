"""Where the real data sets are that some tests read; such a test is skipped where they are absent."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

DIRECTORY = Path(os.environ.get("NONZERO_DATA") or Path(__file__).parents[2] / "shared" / "data")


def real_data(name: str) -> Path:
    """Return the path of a data set, or skip the test."""
    path = DIRECTORY / name
    if not path.exists():
        pytest.skip(f"the data set {name} is not in {DIRECTORY}; NONZERO_DATA names another directory")
    return path


def unpacked(name: str) -> bytes:
    """Return what a gzipped data set holds, or skip the test."""
    return gzip.decompress(real_data(name).read_bytes())
