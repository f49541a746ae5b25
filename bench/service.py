"""The service over HTTP: against a constant answer, and against VW's daemon."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.library import VW, VW_FLAGS
from bench.measure import Comparison, Work, cpu_seconds
from bench.running import Server, running, serving
from bench.workloads import ClickLog

from nonzero_service.demo.process import free_port

__all__ = ["comparisons"]

SERVER_CORE, CLIENT_CORE = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
DEFAULT = "/v1/models/default"
BODIES = 50_000
TIMEOUT = 120
TOKEN = "a-token-to-bench-with"
SMALL_UPDATE = 64
"""Connections that update one example each."""

COMPUTING = (
    f"{shlex.quote(sys.executable)} -c 'while True: pass' & "
    f"{shlex.quote(sys.executable)} -c 'import time\nwhile True:\n t = time.process_time()\n"
    " while time.process_time() < t + 0.01: pass\n time.sleep(0.01)' & wait"
)
"""A shell's script that keeps a core and a half busy."""

NEVER_PAUSED: dict[str, Any] = {"breaker_click_odds": 1e9, "breaker_unseen": 1e9, "breaker_loss": 1e9}
"""The circuit breaker looks at all that comes, and lets it through: a log that is sent again and again,
beside a part of itself, is no stream that a model should go on to learn from."""


def client(what: str, port: int, file: Path, path: str = "/") -> dict[str, Any]:
    """Run the client to its end; return what it found."""
    result = subprocess.run(
        bulk_client(what, port, file, path), check=True, capture_output=True, timeout=TIMEOUT
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def bulk_client(what: str, port: int, file: Path, path: str) -> list[str]:
    return [sys.executable, "-m", "bench.client", what, str(port), str(file), "--path", path]


class Load:
    """One-example requests by wrk, for a while."""

    def __init__(
        self, server: Server, path: str, bodies: Path, connections: int, seconds: int, *token: str
    ) -> None:
        self.server = server
        url = f"http://127.0.0.1:{server.port}{path}"
        script = ["-s", str(Path(__file__).with_name("one_example.lua")), url, "--", str(bodies), *token]
        self.command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *script]

    def rate(self) -> float:
        """Return the requests in a second of the server's CPU: what a server that is kept busy answers."""
        before = cpu_seconds(self.server.pid)
        requests = self.asked()["requests"]
        return requests / (cpu_seconds(self.server.pid) - before)

    def p99(self) -> float:
        """Return the 99th percentile of the seconds that an answer took."""
        return self.asked()["p99"]

    def inverse_p99(self) -> float:
        """Return one over the 99th percentile of the seconds that an answer took."""
        return 1 / self.asked()["p99"]

    def asked(self) -> dict[str, float]:
        """Run wrk; return what it counted."""
        if shutil.which("wrk") is None:
            raise SystemExit("one-example requests are made by wrk: apt-get install wrk")
        pinned = ["taskset", "-c", str(CLIENT_CORE), *self.command]
        output = subprocess.run(pinned, check=True, capture_output=True, timeout=TIMEOUT).stdout
        found: dict[str, float] = json.loads(output.splitlines()[-1])
        if found["failed"] or found["refused"]:
            raise ConnectionError(f"{output.decode()}: {' '.join(self.command)}")
        return found


def sending(port: int, file: Path, path: str) -> Work:
    """Return the work of one bulk update; its rate in examples a second."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        return lines / float(client("upload", port, file, path)["seconds"])

    return run


def predicting(server: Server, file: Path) -> Work:
    """Return the work of one streamed prediction; its examples for a second of the server's CPU."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        before = cpu_seconds(server.pid)
        client("upload", server.port, file, f"{DEFAULT}/predict")
        return lines / (cpu_seconds(server.pid) - before)

    return run


def piping(file: Path) -> Work:
    """Return the work of sending the same lines to a new daemon of VW."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        port = free_port()
        # The Python package reads nothing unless it is told of passes.
        options = ["--daemon", "--foreground", "--num_children", "1", "--passes", "1", "--port", str(port)]
        with running(*VW, *VW_FLAGS, *options, port=port):
            found = client("pipe", port, file)
        assert found["answers"] == lines, found
        return lines / float(found["seconds"])

    return run


def beside_a_bulk_update(load: Load, file: Path, figure: Callable[[Load], float] = Load.inverse_p99) -> Work:
    """Return the work of one-example requests while a bulk update of the default model runs without end."""
    command = bulk_client("upload", load.server.port, file, f"{DEFAULT}/update")
    return beside("while :; do " + shlex.join(command) + " || exit; done", lambda: figure(load))


def beside(script: str, work: Callable[[], float]) -> Work:
    """Return a work that is done while a shell runs a script that does not end."""

    def run() -> float:
        other = subprocess.Popen(["sh", "-c", script], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(0.3)
            found = work()
            if other.poll() is not None:
                raise ChildProcessError(f"{script} ended meanwhile")
            return found
        finally:
            os.killpg(other.pid, signal.SIGTERM)
            other.wait()

    return run


def of_another_model(log: ClickLog, bodies: Path, seconds: int) -> Iterator[Comparison]:
    """Yield how long updates of one model take while another has a bulk update.

    That keeps a core and a half busy. So the peers are the same updates with nobody beside them, and beside
    as much computing that has nothing to do with the service.
    """
    with serving(**NEVER_PAUSED) as server:
        request(server.port, "PUT", "/v1/models/other", b"{}")
        for connections in (1, 8):
            load = Load(server, "/v1/models/other/update", bodies, connections, seconds)
            for peer_name, peer in (
                ("alone", load.p99),
                ("beside a core and a half of computing", beside(COMPUTING, load.p99)),
            ):
                yield Comparison(
                    f"p99 of updates beside another model's bulk update, {connections} connections",
                    beside_a_bulk_update(load, log.vw, Load.p99),
                    peer_name,
                    peer,
                    "s",
                    1 / 1.5,
                    cost=True,
                )


def request(port: int, method: str, path: str, body: bytes) -> None:
    """Send a request that must go well."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, body, {"content-type": "application/json"})
    with connection.getresponse() as answer:
        if answer.status >= 300:
            raise ConnectionError(answer.read().decode())


def one_example_bodies(log: ClickLog) -> Path:
    """Return a file of bodies, an example each."""
    path = log.directory / "bodies.ndjson"
    path.write_bytes(b"\n".join(log.bodies(BODIES)))
    return path


def comparisons(log: ClickLog, seconds: int) -> Iterator[Comparison]:
    """Yield the rows one by one; the servers of a row run while it is measured."""
    bodies = one_example_bodies(log)
    with serving(**NEVER_PAUSED) as server:
        yield Comparison(
            "bulk update over HTTP, durable",
            sending(server.port, log.vw, f"{DEFAULT}/update"),
            "vw --daemon, pipelined, not durable",
            piping(log.vw),
            "examples/s",
            20,
            lanes=8,
        )
        yield Comparison(
            "streamed predict over HTTP",
            predicting(server, log.vw),
            "1.2 us of CPU an example",
            lambda: 1e6 / 1.2,
            "examples/CPU s",
            1.0,
        )
        for action, connections, limit in (("predict", 4, 10), ("update", SMALL_UPDATE, 20)):
            load = Load(server, f"{DEFAULT}/{action}", bodies, connections, seconds)
            yield Comparison(
                f"{action} beside a bulk update, {connections} connections, one over p99",
                beside_a_bulk_update(load, log.vw),
                f"{limit} ms",
                lambda limit=limit: 1000 / limit,  # type: ignore[misc]
                "1/s",
                1.0,
            )
    yield from of_another_model(log, bodies, seconds)
    port = free_port()
    command = [sys.executable, "-m", "bench.constant", str(port)]
    with (
        serving(core=SERVER_CORE, **NEVER_PAUSED) as server,
        running(*command, port=port, core=SERVER_CORE) as constant,
    ):
        for action, connections, target in (("predict", 16, 0.75), ("update", SMALL_UPDATE, 0.5)):
            ours, peer = (
                Load(at, f"{DEFAULT}/{action}", bodies, connections, seconds) for at in (server, constant)
            )
            name = f"one-example {action}, {connections} connections"
            yield Comparison(name, ours.rate, "constant answer", peer.rate, "requests/CPU s", target)
            name += ", one over p99"
            if action == "predict":
                yield Comparison(name, ours.inverse_p99, "constant answer", peer.inverse_p99, "1/s", 0.5)
            else:
                yield Comparison(name, ours.inverse_p99, "30 ms", lambda: 1 / 0.03, "1/s", 1.0)
    tokens = log.directory / "tokens"
    tokens.write_text(f"predict,update {TOKEN}\n")
    with (
        serving(core=SERVER_CORE, token_file=tokens, **NEVER_PAUSED) as guarded,
        running(*command, port=port, core=SERVER_CORE) as constant,
    ):
        for action, connections, target in (("predict", 16, 0.65), ("update", SMALL_UPDATE, 0.43)):
            path = f"{DEFAULT}/{action}"
            ours = Load(guarded, path, bodies, connections, seconds, TOKEN)
            peer = Load(constant, path, bodies, connections, seconds)
            name = f"one-example {action} with a token, {connections} connections"
            yield Comparison(name, ours.rate, "constant answer", peer.rate, "requests/CPU s", target)
