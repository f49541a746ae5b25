"""Dockerfile: its health check asks the service as it is served. tests/image/run.sh builds the image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from service.certificates import certificate
from service.conftest import Start

DOCKERFILE = (Path(__file__).parent.parent.parent / "Dockerfile").read_text()


def check_health(port: int, **variables: str) -> int:
    """Run the check as an engine does; return its exit status."""
    [line] = re.findall(r"^HEALTHCHECK (?:.*\\\n)*? *CMD (.*)$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(line)
    assert program == "python"
    environment = {"NONZERO_PORT": str(port), **variables}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True).returncode


def test_a_service_that_lives_is_healthy(serve: Start) -> None:
    running = serve().until_listening()
    assert check_health(running.port) == 0
    running.stop()
    assert check_health(running.port) == 1


def test_a_service_with_a_certificate_is_too(serve: Start, tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    running = serve(ssl_certfile=str(made), ssl_keyfile=str(key)).until_listening()
    assert check_health(running.port, NONZERO_SSL_CERTFILE=str(made)) == 0
    assert check_health(running.port) == 1
