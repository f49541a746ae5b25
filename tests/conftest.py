"""Options of the long tests; what is collected, and compiled once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from object_store import object_store, s3_endpoint
from reporting import FIGURE, Figure, Report

__all__ = ["object_store", "s3_endpoint"]

# Hundreds of processes import the same modules: none is to compile them anew, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes on a busy machine says nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

collect_ignore = ["kernels.py"]  # whose library knows it by this name alone, and which holds no doctest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("soak")
    group.addoption("--report", type=Path, help="write what the long tests found to this file")
    group.addoption("--soak-seconds", type=float, default=3600, help="how long the soak lasts (default 3600)")
    group.addoption(
        "--fuzz-seconds", type=float, default=120, help="how long a target is fuzzed (default 120)"
    )


def pytest_configure(config: pytest.Config) -> None:
    # One report, even where several processes run the tests.
    if config.getoption("--report") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what stays until the end: modules, tests and their parameters."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Import what is below this folder once, as tests: doctests are the library's."""
    return [found for found in (yield) if type(found) is pytest.Module]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Put a row into the report of the long tests; say it before it is asserted."""

    def add(test: str, reach: str, found: str) -> None:
        request.node.user_properties.append((FIGURE, (test, reach, found)))

    return add
