"""What is answered in front of the framework's layers is answered as behind them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from nonzero_service.app import create_app
from nonzero_service.settings import Settings
from waiting import until_in_loop

JSON = {"content-type": "application/json"}
BODY = b'{"features": {"site": "news"}, "label": 1}'


REQUESTS = [
    ("POST", "/v1/models/default/predict", JSON, BODY),
    ("POST", "/v1/models/default/predict", JSON | {"x-request-id": "click-17"}, BODY),
    ("POST", "/v1/models/default/predict", JSON, b'{"features": {'),
    ("POST", "/v1/models/default/predict", JSON, b'{"features": {"a": {}}}'),
    ("POST", "/v1/models/default/predict", {"content-type": "text/html"}, BODY),
    ("POST", "/v1/models/default/predict", JSON | {"content-encoding": "br"}, BODY),
    ("POST", "/v1/models/default/predict", {"content-type": "text/x-vw"}, b" | a\nnonsense\n"),
    ("POST", "/v1/models/default/explain", JSON, BODY),
    ("POST", "/v1/models/default/update?strict=perhaps", JSON, BODY),
    ("POST", "/v1/models/none/update", JSON, BODY),
    ("POST", "/v1/models//predict", JSON, BODY),
    ("POST", "/v1/models/a/b/predict", JSON, BODY),
    ("POST", "/v1/models/default/predict/", JSON, BODY),
    ("POST", "/predict", JSON, BODY),
    ("GET", "/v1/models/default/predict", {}, b""),
    ("HEAD", "/v1/models/default/update", {}, b""),
    ("OPTIONS", "/v1/models/default/explain", {}, b""),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[httpx.Response, httpx.Response]]:
    """Each request's answers: as everyone gets it, and from FastAPI's own layers."""

    async def ask() -> list[tuple[httpx.Response, httpx.Response]]:
        app = create_app(Settings.load(data_dir=tmp_path_factory.mktemp("front"), bits=8))
        async with app.router.lifespan_context(app):
            await until_in_loop(lambda: app.state.service.models.ready)
            front, behind = client_of(app), client_of(partial(FastAPI.__call__, app))
            return [
                (
                    await front.request(method, path, headers=headers, content=body),
                    await behind.request(method, path, headers=headers, content=body),
                )
                for method, path, headers, body in REQUESTS
            ]

    return asyncio.run(ask())


def client_of(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_both_ways_answer_alike(number: int, answers: list[tuple[httpx.Response, httpx.Response]]) -> None:
    front, behind = answers[number]
    made = {"content-length"} if "x-request-id" in REQUESTS[number][2] else {"content-length", "x-request-id"}
    assert front.status_code == behind.status_code
    assert list(front.headers) == list(behind.headers)
    assert [pair for pair in front.headers.items() if pair[0] not in made] == [
        pair for pair in behind.headers.items() if pair[0] not in made
    ]
    assert told(front) == told(behind)


def told(answer: httpx.Response) -> Any:
    """Return what a body says, but for the id that each request has of its own."""
    if answer.headers.get("content-type") not in ("application/json", "application/problem+json"):
        return answer.content
    content = answer.json() if answer.content else {}
    return {name: value for name, value in content.items() if name != "request_id"}
