"""The client's wheel and sdist, where there is only what they require."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from distributions import built, environment_of, packages_of
from nonzero_client import __version__
from service.conftest import ServiceProcess

CLIENT = Path(__file__).parents[2] / "client"
PROGRAM = """
import asyncio, sys
from nonzero_client import AsyncClient, Client, NotFoundError, from_rows

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        return [prediction async for prediction in client.predict_stream([{"features": {"site": "news"}}])]

with Client(sys.argv[1]) as client:
    assert client.update_stream(from_rows([{"site": "news", "click": 1}] * 9, label="click")).accepted == 9
    assert client.predict([{"features": {"site": "news"}}]) == asyncio.run(main())
    try:
        client.metrics("nobody")
    except NotFoundError as error:
        print(error.title)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(sys.executable, "wheel", CLIENT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment of the wheel, what it requires and nothing else; return its directory."""
    return environment_of(wheel, tmp_path_factory.mktemp("bare") / "environment")


def test_it_works_where_there_is_nothing_else(bare: Path, service: ServiceProcess) -> None:
    command = [str(bare / "bin" / "python"), "-W", "error", "-c", PROGRAM, service.url]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=bare, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Not Found\n", "")
    there = {path.name for path in packages_of(bare).iterdir()}
    assert there & {"numpy", "numba", "nonzero", "nonzero_service", "msgspec", "scipy"} == set()
    assert {"httpx", "nonzero_client"} <= there


def test_it_tells_type_checkers_of_its_types(bare: Path) -> None:
    assert (packages_of(bare) / "nonzero_client/py.typed").is_file()


def test_it_has_what_it_is_made_of_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"nonzero_client-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {f"nonzero_client/{path.name}" for path in (CLIENT / "nonzero_client").glob("*.py*")}
    assert {name for name in names if ".dist-info/" not in name} == ours | {"nonzero_client/py.typed"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_wheel_of_the_sdist_is_the_checkouts_to_the_byte(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(built(sys.executable, "sdist", CLIENT, tmp_path)) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("nonzero_client-*/")
    there = {path.name for path in source.iterdir()} - {".gitignore"}
    assert there == {"nonzero_client", "README.md", "LICENSE", "pyproject.toml", "PKG-INFO"}
    again = built(sys.executable, "wheel", source, tmp_path / "again")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()
