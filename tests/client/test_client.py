"""The two clients: the same calls, every route of the service, and what they say of themselves."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nonzero_client
from nonzero_client import AsyncClient, Client, ClientError, InputError
from nonzero_client.calls import Calls
from nonzero_service.api import table

ROOT = Path(__file__).parents[2]

CALLS = {name: found for name, found in inspect.getmembers(Calls, callable) if not name.startswith("_")}

ROUTES = {
    table.PREDICT: {"predict", "predict_candidates", "predict_one", "predict_stream"},
    table.UPDATE: {"update", "update_stream"},
    table.LABELS: {"labels", "label_stream"},
    table.EXPLAIN: {"explain"},
    table.LIST_MODELS: {"list_models"},
    table.READ_MODEL: {"get_model"},
    table.MAKE_MODEL: {"create_model", "import_model"},
    table.DELETE_MODEL: {"delete_model"},
    table.READ_METRICS: {"metrics"},
    table.READ_HISTORY: {"history"},
    table.TAKE_SNAPSHOT: {"take_snapshot"},
    table.DOWNLOAD_SNAPSHOT: {"download_snapshot"},
    table.DIAGNOSE: {"diagnosis"},
    table.MEND: {"remedy"},
    table.RESUME: {"resume"},
    table.COMPARE: {"comparison"},
    table.PROMOTE: {"promote"},
    table.READY: {"is_ready", "wait_until_ready"},
}
FOR_OPERATORS = {
    *(table.SET_CLOCK, table.READ_SOURCE, table.ALIVE, table.LEADER, table.METRICS, table.DESCRIPTION),
    *(table.DOCS, table.DOCS_ASSET, table.PAGE, table.PAGE_ASSET),
}
"""What probes, Prometheus, browsers, and a person with a wrong clock ask."""
FOR_OTHER_CLIENTS = {
    *(table.SERVER_METADATA, table.SERVER_LIVE, table.SERVER_READY),
    *(table.MODEL_METADATA, table.MODEL_READY, table.INFER),
    *(table.INVOKE, table.PING, table.HEALTH, table.VERSION),
}
"""What clients of other protocols ask."""


def test_every_route_has_its_calls() -> None:
    assert {*table.DIRECT, *table.FRAMEWORK} - FOR_OPERATORS - FOR_OTHER_CLIENTS == set(ROUTES)
    assert set.union(*ROUTES.values()) == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_have_each_call_alike(name: str) -> None:
    described = inspect.signature(CALLS[name])
    for kind in (Client, AsyncClient):
        method = getattr(kind, name)
        assert inspect.signature(method) == described
        assert method.__doc__ == CALLS[name].__doc__
        assert method.__name__ == name
    assert inspect.iscoroutinefunction(getattr(AsyncClient, name)) != (name == "predict_stream")
    assert not inspect.iscoroutinefunction(getattr(Client, name))


def test_both_are_made_alike() -> None:
    ours, theirs = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]
    public = [{name for name in vars(kind) if not name.startswith("_")} for kind in (Client, AsyncClient)]
    assert public[0] == public[1] == {*CALLS, "close"}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "the address is 'localhost:8000'; it is one such as http://"),
        ("ftp://host", "it is one such as http://"),
        ("http://", "it is one such as http://"),
        ("http://host/?key=secret", "the address is 'http://host/'; it is one such as http://"),
        ("http://host:port", "the address is no URL"),
        (None, "the address is no URL"),
        ("http://user:secret@host", "the address has a user and a password; take them out, and give a token"),
    ],
)
def test_addresses_that_are_none(kind: Any, url: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        kind(url)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_what_is_public() -> None:
    there = {
        name
        for name, value in vars(nonzero_client).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert there == set(nonzero_client.__all__)
    assert nonzero_client.__version__.count(".") == 2


def test_every_exception_stands_in_the_tree() -> None:
    from nonzero_client import errors

    drawn = errors.__doc__ or ""
    for name, found in vars(errors).items():
        if inspect.isclass(found) and issubclass(found, ClientError):
            assert name in nonzero_client.__all__
            if name != "ProblemError":
                assert f"{name} " in drawn or f"{name}\n" in drawn, name


def test_neither_the_service_nor_what_it_is_made_of_is_imported() -> None:
    others = {"numpy", "numba", "scipy", "nonzero", "nonzero_service", "msgspec", "fastapi", "pandas"}
    program = f"import sys; import nonzero_client; print(sorted({others} & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT / "client", capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_licence_is_the_projects() -> None:
    assert (ROOT / "client/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
