"""The wheel without its extra, where there is only what it requires: the library's commands work."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import builder
from distributions import built, environment_of, packages_of, with_extras
from nonzero import LogisticRegression, formats
from nonzero.native import loading

ROOT = Path(__file__).parents[2]
CLICKS = b"1 |f a b\n-1 |f b c\n" * 50


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(sys.executable, "wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment of the wheel, what it requires and nothing else; return its directory."""
    return environment_of(wheel, tmp_path_factory.mktemp("bare") / "environment")


def nonzero(
    environment: Path, *arguments: str | Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run the installed command, without PYTHONPATH: nothing of this checkout may help it."""
    # By its own Python: the script names that of the place where it was installed.
    command = [environment / "bin" / "python", environment / "bin" / "nonzero", *arguments]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, input=stdin, capture_output=True, env=variables, cwd=environment, timeout=120
    )
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_train_predict_inspect_and_export_need_no_extra(bare: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    done = nonzero(bare, "train", "-", "--format=vw", "--bits=10", "--model", model, "--json", stdin=CLICKS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["examples"] == 100
    done = nonzero(bare, "predict", "-", "--format=vw", "--model", model, stdin=CLICKS)
    assert done.returncode == 0, done.stderr
    expected = LogisticRegression.load(model).predict(formats.parse(CLICKS, "vw"))
    assert [float(line) for line in done.stdout.splitlines()] == pytest.approx(expected.tolist())
    done = nonzero(bare, "inspect", model)
    assert done.returncode == 0, done.stderr
    done = nonzero(bare, "export", model, "--format=json")
    assert json.loads(done.stdout)["examples"] == 100, done.stderr
    done = nonzero(bare, "export", model, "--format=onnx")
    assert (done.returncode, "pip install 'nonzero-ctr[onnx]'" in done.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [["serve"], ["serve", "--port", "0"], ["demo", "--once"]])
def test_what_needs_the_service_says_how_to_get_it(bare: Path, arguments: list[str]) -> None:
    done = nonzero(bare, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'nonzero-ctr[service]'" in done.stderr


@pytest.fixture
def read_only(bare: Path, tmp_path: Path) -> Iterator[Path]:
    """The same environment where nobody can write to it, root neither."""
    place = tmp_path / "environment"
    place.mkdir()
    for options in (["--bind", str(bare)], ["-o", "remount,bind,ro"]):
        done = subprocess.run(["mount", *options, place], capture_output=True, check=False, text=True)
        if done.returncode:
            pytest.skip(f"an environment cannot be mounted read-only: {done.stderr}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_where_it_is_installed_nothing_need_be_written(read_only: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    with pytest.raises(OSError, match="Read-only"):
        (read_only / "file").touch()
    done = nonzero(read_only, "train", "-", "--format=vw", "--bits=10", "--model", model, stdin=CLICKS)
    assert done.returncode == 0, done.stderr
    done = nonzero(read_only, "predict", "-", "--format=vw", "--model", model, stdin=CLICKS)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 100), done.stderr


def test_a_wheel_of_the_sdist_is_the_checkouts_to_the_byte(wheel: Path, tmp_path: Path) -> None:
    sdist = built(sys.executable, "sdist", ROOT, tmp_path)
    subprocess.run(["tar", "--extract", "--file", sdist], cwd=tmp_path, check=True)
    (source,) = tmp_path.glob("nonzero_ctr-*/")
    assert not [*source.rglob("*.so"), *source.rglob("*.o")]
    assert {path.name for path in source.iterdir()} == {
        *("core", "service", "hatch_build.py", "README.md", "LICENSE"),
        *("pyproject.toml", ".gitignore", "PKG-INFO"),
    }
    # What compiling takes has been compiled: only the rest is done.
    shutil.copytree(ROOT / "build/kernels", source / "build/kernels")
    again = built(builder(), "wheel", source, tmp_path)
    assert again.name == wheel.name
    ours, theirs = (
        {name: archive.read(name) for name in archive.namelist() if "RECORD" not in name}
        for archive in (zipfile.ZipFile(wheel), zipfile.ZipFile(again))
    )
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    page = {f"nonzero_service/page/{path.name}" for path in (ROOT / "service/nonzero_service/page").iterdir()}
    assert page <= ours.keys()
    assert sum(name.endswith(".so") for name in ours) == len(loading.TARGETS.get(os.uname().machine, "1"))


@pytest.mark.parametrize("part", ["bare", "service", "arrow", "onnx", "sklearn", "river"])
def test_with_an_extra_it_does_what_the_extra_is_for(bare: Path, part: str, tmp_path: Path) -> None:
    environment = with_extras(bare, tmp_path / "environment", part)
    command: list[str | Path] = [environment / "bin/python", "-I", ROOT / "tests/dist/installed.py", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{part} works\n"), done.stderr


def test_it_tells_type_checkers_of_its_types(bare: Path) -> None:
    packages = packages_of(bare)
    for name in ("nonzero", "nonzero_service"):
        assert (packages / name / "py.typed").is_file()
