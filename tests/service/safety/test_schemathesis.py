"""What the service answers to requests made from its own description, right and wrong ones, is described."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from reporting import Figure
from service.conftest import ServiceProcess
from service.safety.raw import TOKENS

MODEL = "/v1/models/described"


def assert_described(service: ServiceProcess, directory: Path, *options: str) -> str:
    """Run every phase of schemathesis; return what it says at its end."""
    place = Path(__file__).parent
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(place / "schemathesis_hooks.py")}
    token = {"authorization": f"Bearer {TOKENS['admin']}"}
    with httpx.Client(base_url=service.url, headers=token, timeout=60, trust_env=False) as client:
        assert client.put(MODEL, json={"bits": 10, "learning_rate": 0.1}).status_code == 201
        command = [sys.executable, "-m", "schemathesis.cli"]
        command += ["--config-file", str(place / "schemathesis.toml")]
        command += [
            "run",
            f"{service.url}/openapi.json",
            "--no-color",
            "--suppress-health-check",
            "all",
            "--header",
            f"Authorization: {token['authorization']}",
            *options,
        ]
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        for model in client.get("/v1/models").json()["models"]:
            if model["model"] != "default":
                assert client.delete(f"/v1/models/{model['model']}").status_code == 204
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_answers_are_described(
    narrow: ServiceProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Those of a fifth of the paths, others each day."""
    paths = sorted(
        httpx.get(f"{narrow.url}/openapi.json", trust_env=False).raise_for_status().json()["paths"]
    )
    if not request.config.option.all_cases:
        paths = random.Random(request.config.option.day).sample(paths, len(paths) // 5)
    chosen = [option for path in paths for option in ("--include-path", path)]
    few = ("--max-examples", "1", "--seed", "1", "--generation-deterministic")
    assert_described(narrow, tmp_path, *few, *chosen)


@pytest.mark.soak
def test_answers_are_described_long(narrow: ServiceProcess, tmp_path: Path, figure: Figure) -> None:
    said = assert_described(narrow, tmp_path, "--max-examples", "1000", "--seed", "2")
    cases = re.search(r"(\d+) generated", said)
    assert cases is not None
    figure(
        "the API against its own description: schemathesis, all phases",
        "no status that is not described, no 5xx but 503 and 507, no schema mismatch",
        f"{int(cases[1]):,} requests: none",
    )
    assert int(cases[1]) > 5_000


def test_a_path_names_all_its_methods(client: httpx.Client, model: str) -> None:
    refused = client.request("PATCH", model)
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD, PUT, DELETE"
    assert client.get(f"{model}/update").headers["allow"] == "POST"


@pytest.mark.parametrize("bits", [29, 30])
def test_a_model_beyond_the_memory_is_refused(client: httpx.Client, bits: int) -> None:
    refused = client.put("/v1/models/huge", json={"bits": bits})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert "memory" in refused.json()["detail"]
    assert client.get("/v1/models/huge").status_code == 404
