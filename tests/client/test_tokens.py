"""Tokens: right for each request, rotated, and shown nowhere."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.calling import calling
from nonzero_client import (
    AsyncClient,
    Client,
    ClientError,
    ForbiddenError,
    InputError,
    TimedOutError,
    UnauthorizedError,
    UnavailableError,
)
from nonzero_client.tokens import Bearer, TokenFile, bearer
from service.conftest import ServiceProcess, starting

ADMIN = "admin-token-0123456789"
PREDICT = "predict-token-0123456789"
WRONG = "wrong-token-0123456789"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that asks for tokens."""
    place = tmp_path_factory.mktemp("guarded")
    tokens = place / "tokens"
    tokens.write_text(f"admin {ADMIN}\npredict {PREDICT}\n")
    tokens.chmod(0o600)
    with starting(ServiceProcess, place) as start:
        yield start(bits=8, token_file=str(tokens)).until_ready()


def test_each_call_has_its_token(guarded: ServiceProcess, kind: Any) -> None:
    with calling(kind, guarded.url, token=ADMIN) as client:
        assert client.update({"features": {}, "label": 1}).accepted == 1
        assert len(client.list_models()) == 1
    with calling(kind, guarded.url, token=PREDICT) as client:
        assert client.predict([{"features": {}, "id": "x"}])[0].kept is False
        assert [one.kept for one in client.predict_stream([{"features": {}, "id": "x"}])] == [False]
        with pytest.raises(ForbiddenError):
            client.update({"features": {}, "label": 1})
    with calling(kind, guarded.url, token=WRONG) as client, pytest.raises(UnauthorizedError):
        client.list_models()
    with calling(kind, guarded.url) as client:
        assert client.is_ready()
        with pytest.raises(UnauthorizedError):
            client.list_models()


def test_a_file_may_be_rotated(guarded: ServiceProcess, kind: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{PREDICT}\n")
    with calling(kind, guarded.url, token_file=file) as client:
        with pytest.raises(ForbiddenError):
            client.take_snapshot()
        file.write_text(ADMIN)
        assert client.take_snapshot()
        for nothing in ("", "two words", "é"):  # while it is written anew, the last one is good
            file.write_text(nothing)
            assert client.take_snapshot()
        file.unlink()
        assert client.take_snapshot()


def test_a_token_that_changed_while_it_was_refused_is_tried(guarded: ServiceProcess, kind: Any) -> None:
    given = [WRONG, ADMIN]
    with calling(kind, guarded.url, token=lambda: given.pop(0)) as client:
        assert client.update({"features": {}, "label": 1}).accepted == 1
    assert given == []
    given = [WRONG, WRONG, "another"]
    with calling(kind, guarded.url, token=lambda: given.pop(0)) as client, pytest.raises(UnauthorizedError):
        client.list_models()
    assert given == ["another"]


def test_a_function_may_be_asynchronous(guarded: ServiceProcess, kind: Any) -> None:
    async def fetched() -> str:
        await asyncio.sleep(0)
        return ADMIN

    with calling(kind, guarded.url, token=fetched) as client:
        if kind is AsyncClient:
            assert len(client.list_models()) == 1
        else:
            with pytest.raises(InputError, match="needs an AsyncClient"):
                client.list_models()


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "schlüssel", "a\x00b", 5, b"bytes"])
def test_what_is_no_token_is_refused_without_being_shown(token: Any, kind: Any) -> None:
    for make in (lambda: kind("http://n", token=token), lambda: asked(kind, lambda: token)):
        with pytest.raises(InputError, match=r"the token (has characters|is a)") as error:
            make()
        if token:
            assert str(token) not in str(error.value)


def asked(kind: Any, token: Callable[[], str]) -> None:
    with calling(kind, "http://127.0.0.1:9", token=token) as client:
        client.list_models()


def test_a_file_without_a_token(tmp_path: Path, kind: Any) -> None:
    file = tmp_path / "token"
    with calling(kind, "http://127.0.0.1:9", token_file=file) as client:
        for text, said in ((None, "No such file"), ("", "it is empty"), ("a b", "something else than one")):
            if text is not None:
                file.write_text(text)
            with pytest.raises(InputError, match=f"{file} cannot be used: .*{said}"):
                client.list_models()


def test_one_of_the_two() -> None:
    with pytest.raises(InputError, match="token and token_file are both given"):
        Client("http://n", token="a", token_file="b")
    assert bearer(None, None) is None


def test_it_is_shown_nowhere(
    guarded: ServiceProcess, kind: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Not by what is printed, logged, raised or pickled; nor by what an exception holds of others."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "token"
    file.write_text(PREDICT)
    raised: list[BaseException] = []
    texts: list[str] = []
    for source in ({"token": PREDICT}, {"token": lambda: PREDICT}, {"token_file": file}):
        for url, deadline in ((guarded.url, 60), ("http://127.0.0.1:9", 0.1)):
            with calling(kind, url, deadline=deadline, **source) as client:
                texts += [repr(client), str(vars(client)), repr(Bearer(PREDICT)), repr(TokenFile(file))]
                with pytest.raises(ClientError) as error:
                    client.take_snapshot()
                raised.append(error.value)
                with pytest.raises(ClientError) as error:
                    client.update_stream([{"features": {}, "label": 1}])
                raised.append(error.value)
    assert {type(error) for error in raised[::4] + raised[1::4]} == {ForbiddenError}
    assert {type(error) for error in raised[2::4] + raised[3::4]} <= {UnavailableError, TimedOutError}
    for error_ in raised:
        texts += [repr(error_), *traceback.format_exception(error_), str(vars(error_))]
        assert error_.__cause__ is None
        assert error_.__context__ is None
        assert PREDICT.encode() not in pickle.dumps(error_)
        assert not [one for one in reachable(error_) if isinstance(one, httpx.Request)]
    assert caplog.records
    assert PREDICT not in "".join(texts) + caplog.text


def reachable(error: BaseException) -> list[Any]:
    """Return what an exception holds, its traceback left out."""
    found, waiting = [], [error.args, vars(error)]
    while waiting:
        one = waiting.pop()
        found.append(one)
        if isinstance(one, dict | tuple | list):
            waiting += gc.get_referents(one)
    return found
