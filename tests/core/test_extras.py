"""What an extra brings is named where it is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Lacking())
import {package}
"""


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("extra", "lacking"),
    [("sklearn", "sklearn"), ("sklearn", "narwhals"), ("river", "river"), ("river", "narwhals")],
)
def test_what_is_not_installed_is_named_with_the_extra_that_brings_it(extra: str, lacking: str) -> None:
    program = PROGRAM.format(package=f"nonzero.{extra}")
    done = subprocess.run(
        [sys.executable, "-c", program, lacking], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    said = f"nonzero.{extra} needs {lacking}, which is not installed; pip install 'nonzero-ctr[{extra}]'"
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {said}"


@pytest.mark.parametrize("extra", ["sklearn", "river"])
def test_what_else_is_not_there_is_told_as_it_is(extra: str) -> None:
    program = PROGRAM.format(package=f"nonzero.{extra}")
    done = subprocess.run(
        [sys.executable, "-c", program, "safetensors"], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'safetensors'"
