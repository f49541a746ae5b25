"""Every public name says what it takes, what it returns and, by an example that runs, how it is used."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nonzero_client
from core.test_docstrings import arguments, described, section
from nonzero_client import AsyncClient, Client
from nonzero_client.calls import Calls
from service.conftest import Start

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "from_rows": nonzero_client.from_rows,
    **{name: found for name, found in inspect.getmembers(Calls, callable) if not name.startswith("_")},
}
MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.iter_modules(nonzero_client.__path__, "nonzero_client.")
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_describe_what_they_take_and_return(name: str) -> None:
    function = FUNCTIONS[name]
    assert described(function) == arguments(function)
    if inspect.signature(function).return_annotation != "None":
        assert section(function, "Returns") or section(function, "Yields")
    assert ">>> " in (section(function, "Examples") or "")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_clients_describe_what_they_are_made_of(kind: type) -> None:
    assert described(kind) == arguments(kind)
    assert ">>> " in (section(kind, "Examples") or "")


@pytest.mark.parametrize("name", nonzero_client.__all__)
def test_everything_public_says_what_it_is(name: str) -> None:
    text = inspect.getdoc(getattr(nonzero_client, name))
    assert text
    assert re.match(r"[A-Z].*[.?]", text)


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in MODULES:
        for found in finder.find(module):
            if found.examples:
                yield found


@pytest.fixture
def client(start: Start, memory_path: Path) -> Iterator[Client]:
    """A client of a service that has the model `default`, and the model `empty`."""
    service = start(memory_path / "data", bits=10).until_ready()
    with Client(service.url) as made:
        made.create_model("empty", {"bits": 10})
        yield made


def test_examples_run(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(verbose=False)
    ran = set()
    for found in examples():
        before = {state["model"] for state in client.list_models()}
        found.globs["client"] = client
        output: list[str] = []
        runner.run(found, out=output.append)
        assert output == [], "".join(output)
        ran.add(found.name.rpartition(".")[2])
        for state in client.list_models():
            if state["model"] not in before:
                client.delete_model(state["model"])
    assert ran >= {*FUNCTIONS, "Client", "AsyncClient"}
