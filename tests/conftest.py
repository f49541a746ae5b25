"""Options of the long tests; what is collected, and compiled once."""

from __future__ import annotations

import datetime
import gc
import os
import random
import sys
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from object_store import object_store, s3_endpoint
from reporting import FIGURE, Figure, Report
from thoroughly import ALL, QUICK, SHARE, THOROUGH

__all__ = ["object_store", "s3_endpoint"]

# Hundreds of processes import the same modules: none is to compile them anew, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes on a busy machine says nothing of the code.
settings.register_profile(THOROUGH, deadline=None, max_examples=ALL)
settings.register_profile(QUICK, deadline=None, max_examples=ALL // SHARE)
settings.load_profile(QUICK)

collect_ignore = ["kernels.py"]  # whose library knows it by this name alone, and which holds no doctest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("soak")
    group.addoption("--report", type=Path, help="write what the long tests found to this file")
    group.addoption("--soak-seconds", type=float, default=3600, help="how long the soak lasts (default 3600)")
    group.addoption(
        "--fuzz-seconds", type=float, default=120, help="how long a target is fuzzed (default 120)"
    )

    parser.addoption("--all-cases", action="store_true", help="run all cases of tests that are sampled")
    parser.addoption("--day", help="which cases of tests that are sampled (default: those of today, UTC)")


def pytest_report_header(config: pytest.Config) -> str | None:
    return None if config.option.all_cases else f"cases of sampled tests: --day {config.option.day}"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose the day before others begin: where several processes run the tests, it is one for all."""
    config.option.day = config.option.day or f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test that is sampled keep some cases, others each day; the long tests have all the others."""
    families: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("soak"):
            families[item.nodeid.partition("[")[0]].append(item)
    for name, family in families.items():
        marker = family[0].get_closest_marker("sampled")
        assert marker is not None
        (most,) = marker.args
        if config.option.all_cases or len(family) <= most:
            continue
        kept = random.Random(f"{name} {config.option.day}").sample(family, most)
        for item in family:
            if item not in kept:
                item.add_marker("soak")


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
