"""`make` alone gets from a clone to a running service, and says what to do where it cannot."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LACKING = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{python}" "$@"\n'
"""A Python as Debian ships it without python3-venv."""

QUICK = '#!/bin/sh\n[ "$1" = -m ] || exec "{python}" "$@"\nmkdir -p .venv/bin; ln -sf "{python}" .venv/bin\n'
"""A Python whose environments have no pip, which takes seconds to put in."""

in_the_environment = pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="would make an environment; `make test` has one"
)


def make(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--directory", str(directory), *arguments], capture_output=True, text=True, check=False
    )


def script(directory: Path, text: str) -> Path:
    path = directory / "python"
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project whose locks name nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_python_without_venv_is_told_which_package_it_needs(clone: Path) -> None:
    made = make(clone, ".venv/place", f"PYTHON={script(clone, LACKING)}")
    assert made.returncode != 0
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt-get install python{version}-venv" in made.stderr
    assert not (clone / ".venv").exists()


def test_no_suitable_python_is_told_which_ones_are(clone: Path) -> None:
    made = make(clone, ".venv/place", "PYTHON=/bin/false")
    assert made.returncode != 0
    assert "Python 3.11 to 3.14" in made.stderr


def test_an_environment_is_made_anew_where_it_was_copied_to(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert make(clone, ".venv/place", f"PYTHON={script(clone, QUICK)}").returncode == 0
    assert make(clone, "--question", ".venv/place").returncode == 0
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(clone, copy, symlinks=True, dirs_exist_ok=True)
    assert make(copy, "--question", ".venv/place").returncode == 1


@in_the_environment
def test_run_replays_a_file_and_serves_until_interrupted(tmp_path: Path) -> None:
    log = tmp_path / "a log.vw"
    log.write_text("1 | site=news\n0 | site=sport\n" * 100)
    data = os.path.relpath(log, ROOT)
    process = subprocess.Popen(
        ["make", "run", f"DATA={data}", "ARGS=--port 0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = ""
    while "Ctrl-C" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed += process.communicate(timeout=60)[0]
    assert "Traceback" not in printed
    assert "Error" not in printed


def test_run_once_is_told_to_end_by_itself() -> None:
    made = make(ROOT, "--dry-run", "run", "ONCE=1", "ARGS=--port 0")
    assert re.search(r"nonzero demo +--once --port 0$", made.stdout, re.MULTILINE), made.stdout


@in_the_environment
@pytest.mark.soak
def test_run_once_ends_by_itself() -> None:
    made = make(ROOT, "run", "ONCE=1", "ARGS=--port 0 --examples 2000")
    assert made.returncode == 0, made.stderr
    assert "log loss" in made.stdout
