"""Who may do what."""

from __future__ import annotations

import hashlib
import os
from hmac import compare_digest
from pathlib import Path

import httpx
import pytest
import structlog

from nonzero import SettingsError
from nonzero_service.api.framework_app import FrameworkApp
from nonzero_service.api.table import TABLE
from nonzero_service.app import create_app
from nonzero_service.http.tokens import Tokens
from nonzero_service.settings import Settings
from service.safety.raw import TOKENS

NEEDS = {
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /leader": None,
    "GET /docs": None,
    "GET /docs/{asset}": None,
    "GET /openapi.json": None,
    "GET /metrics": "",
    "GET /v1/models": "",
    "GET /v1/models/{model}": "",
    "GET /v1/models/{model}/history": "",
    "GET /v1/models/{model}/metrics": "",
    "GET /v1/models/{model}/source": "",
    "GET /v1/models/{model}/diagnosis": "",
    "GET /v2": None,
    "GET /v2/health/live": None,
    "GET /v2/health/ready": None,
    "GET /v2/models/{model}": "",
    "GET /v2/models/{model}/ready": "",
    "POST /v2/models/{model}/infer": "predict",
    "POST /invocations": "predict",
    "GET /ping": None,
    "GET /health": None,
    "GET /version": None,
    "POST /v1/models/{model}/predict": "predict",
    "POST /v1/models/{model}/explain": "predict",
    "POST /v1/models/{model}/update": "update",
    "POST /v1/models/{model}/labels": "update",
    "PUT /v1/models/{model}": "admin",
    "DELETE /v1/models/{model}": "admin",
    "POST /v1/models/{model}/remedy": "admin",
    "POST /v1/models/{model}/resume": "admin",
    "GET /v1/models/{model}/comparison": "",
    "POST /v1/models/{model}/promote": "admin",
    "POST /v1/models/{model}/clock": "admin",
    "POST /v1/models/{model}/snapshots": "admin",
    "GET /v1/models/{model}/snapshots/latest": "admin",
}
"""The scope that each route needs; "" is any, None is none."""

MAY = {
    "predict": {"predict"},
    "impress": {"predict"},
    "update": {"update"},
    "predict,update": {"predict", "update"},
    "admin": {"predict", "update", "admin"},
}
"""The needs that each token of the tests meets."""
NEEDS |= {f"HEAD{route[3:]}": scope for route, scope in NEEDS.items() if route.startswith("GET ")}


def test_every_route_has_a_scope_that_somebody_chose(tmp_path: Path) -> None:
    service = create_app(Settings.load(data_dir=tmp_path)).service
    paths = FrameworkApp(service).openapi()["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert described == {route for route in NEEDS if "docs" not in route and "openapi" not in route}
    for route, scope in NEEDS.items():
        target, _ = TABLE.find(*route.split(" "))
        assert target.route is not None, route
        assert target.need.scope == scope, route


@pytest.mark.parametrize("scope", ["", "wrong", *TOKENS])
def test_a_request_needs_a_token_of_its_scope(stranger: httpx.Client, scope: str) -> None:
    token = TOKENS.get(scope, "a-token-that-is-none")
    headers = {"authorization": f"Bearer {token}"} if scope else {}
    for route, needed in NEEDS.items():
        method, _, path = route.partition(" ")
        answer = stranger.request(method, path.format(model="none", asset="none"), headers=headers)
        if needed is None or (scope in TOKENS and (not needed or needed in MAY[scope])):
            assert answer.status_code not in (401, 403), route
        elif scope in TOKENS:
            assert answer.status_code == 403, route
            assert f'scope="{needed}"' in answer.headers["www-authenticate"]
        else:
            assert answer.status_code == 401, route
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert token not in answer.text


@pytest.mark.parametrize("said", ["Basic {}", "{}", "Bearer", "Bearer {} x", "bearer{}", "Token {}"])
def test_a_token_is_sent_as_rfc_6750_has_it(stranger: httpx.Client, said: str) -> None:
    headers = {"authorization": said.format(TOKENS["admin"])}
    assert stranger.get("/v1/models", headers=headers).status_code == 401
    right = {"authorization": f"bearer  {TOKENS['admin']}"}
    assert stranger.get("/v1/models", headers=right).status_code == 200


def test_a_token_is_of_no_use_in_the_query(stranger: httpx.Client) -> None:
    token = TOKENS["admin"]
    answer = stranger.get("/v1/models", params={"token": token, "access_token": token})
    assert answer.status_code == 401


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_tokens_follow_one_another_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nonzero_service.http.tokens.LOOK_SECONDS", 0)
    file = written(tmp_path / "tokens", f"predict {'a' * 16}\n")
    tokens = Tokens(file)
    assert tokens.find(b"Bearer " + b"a" * 16) is not None
    written(tmp_path / "new", f"predict {'a' * 16}\npredict {'b' * 16}\n").replace(file)
    assert tokens.find(b"Bearer " + b"a" * 16) == tokens.find(b"Bearer " + b"a" * 16) is not None
    assert tokens.find(b"Bearer " + b"b" * 16) is not None
    written(tmp_path / "new", f"predict {'b' * 16}\n").replace(file)
    assert tokens.find(b"Bearer " + b"a" * 16) is None
    written(file, "predict short\n")  # a mistake lets nobody out, and nobody in
    assert tokens.find(b"Bearer " + b"b" * 16) is not None
    file.unlink()
    assert tokens.find(b"Bearer " + b"b" * 16) is not None
    assert tokens.find(b"Bearer short") is None


NONE_IMPRESSES = "no token has the scope impress"


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        (["predict"], True),
        (["predict", "admin"], True),  # one that is for people does not help the clients
        (["predict,update", "admin"], True),
        (["predict", "impress"], False),
        (["predict", "update,impress"], False),
        (["admin"], False),  # it teaches
    ],
)
def test_a_file_without_the_scope_impress_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scopes: list[str], said: bool
) -> None:
    """At the start, and when the file changes: clients of before must not lose their labels in silence."""
    monkeypatch.setattr("nonzero_service.http.tokens.LOOK_SECONDS", 0)
    lines = "".join(f"{scope} {n:016d}\n" for n, scope in enumerate(scopes))
    with structlog.testing.capture_logs() as log:
        Tokens(written(tmp_path / "tokens", lines))
        assert [line["event"] for line in log if line["log_level"] == "warning"] == [NONE_IMPRESSES] * said
    assert not [line for line in log if "0" * 15 in str(line)]
    tokens = Tokens(written(tmp_path / "changing", f"impress {'i' * 16}\n"))
    with structlog.testing.capture_logs() as log:
        written(tmp_path / "new", lines).replace(tmp_path / "changing")
        tokens.find(b"Bearer none")
        assert [line["event"] for line in log if line["log_level"] == "warning"] == [NONE_IMPRESSES] * said


def test_a_digest_may_stand_for_a_token(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"a" * 16).hexdigest()
    tokens = Tokens(written(tmp_path / "tokens", f"# ours\n\nadmin sha256:{digest}  \n"))
    assert tokens.find(b"Bearer " + b"a" * 16) is not None
    assert tokens.find(b"Bearer sha256:" + digest.encode()) is None


@pytest.mark.parametrize(
    ("text", "mode", "named"),
    [
        ("", 0o600, "no tokens"),
        ("predict\n", 0o600, "line 1"),
        (f"\nread {'s' * 16}\n", 0o600, "line 2"),
        ("predict secret\n", 0o600, "16 to 512"),
        (f"predict {'s' * 15}ä\n", 0o600, "ASCII"),
        (f"predict {'s' * 16}\n", 0o622, "chmod"),
    ],
)
def test_a_bad_file_ends_the_start_and_is_named(tmp_path: Path, text: str, mode: int, named: str) -> None:
    file = written(tmp_path / "tokens", text, mode)
    with pytest.raises(SettingsError, match=named) as raised:
        Tokens(file)
    assert str(file) in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "ssss" not in str(raised.value)


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        Tokens(tmp_path / "tokens")


def test_a_right_token_takes_as_long_as_a_wrong_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither how much of it is right nor which of many it is shows in the time that it takes."""
    lines = [f"predict {n:016d}" for n in range(64)]
    tokens = Tokens(written(tmp_path / "tokens", "\n".join(lines)))
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr("nonzero_service.http.tokens.compare_digest", compare)
    digests = [hashlib.sha256(b"%016d" % n).digest() for n in range(64)]
    for guess in (b"%016d" % 0, b"%016d" % 63, b"x" * 16):
        compared.clear()
        found = tokens.find(b"Bearer " + guess)
        assert (found is None) is (guess == b"x" * 16)
        sent = hashlib.sha256(guess).digest()
        assert compared == [(digest, sent) for digest in digests]  # all of them, by what looks at all of each


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_without_tokens_only_this_machine_is_listened_to(host: str, tmp_path: Path) -> None:
    for variable in ("NONZERO_TOKEN_FILE", "NONZERO_ALLOW_OPEN"):
        os.environ.pop(variable, None)
    with pytest.raises(SettingsError, match="--token-file"):
        Settings.load(host=host)
    assert Settings.load(host=host, token_file=tmp_path / "tokens").host == host
    assert Settings.load(host=host, allow_open="on").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert Settings.load(host=host).host == host
