"""Where machine code is kept, and what kernels may do."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nonzero
from nonzero.checking import read_labels

# The one file alone: importing the package would compile its kernels anew for every CPU and flag.
PROGRAM = "import runpy, sys; print(runpy.run_path(sys.argv[1])['cache_directory'])"
FILE = Path(nonzero.__file__).with_name("compiled.py")


def run(**environment: Any) -> Any:
    command = [sys.executable, "-c", PROGRAM, str(FILE)]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_the_cache_is_where_it_is_asked_to_be(tmp_path: Any) -> None:
    assert run(NONZERO_CACHE_DIR=str(tmp_path)).startswith(str(tmp_path))


def test_other_cpus_and_debug_flags_have_machine_code_of_their_own(tmp_path: Any) -> None:
    place = {"NONZERO_CACHE_DIR": str(tmp_path)}
    directories = {run(**place), run(**place, NUMBA_CPU_NAME="generic"), run(**place, NUMBA_BOUNDSCHECK="1")}
    assert len(directories) == 3


def test_a_place_that_cannot_be_written_to_is_passed_over(tmp_path: Any) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    directory = run(NONZERO_CACHE_DIR=str(occupied), TMPDIR=str(tmp_path))
    assert directory.startswith(str(tmp_path))
    assert os.access(directory, os.W_OK)


def test_what_enters_a_kernel_at_once_refuses_items_of_another_size() -> None:
    labels = np.array([1, -1, 7], np.float32)
    assert read_labels(labels) == 2
    with pytest.raises(TypeError):
        read_labels(labels.astype(np.float64))
