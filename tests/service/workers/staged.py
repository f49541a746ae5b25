"""Services whose workers are killed, stopped or fail at chosen stages of their lives.

What is to happen are files in a directory: each process of a worker takes one, until none is left. The writer
asks ten times a second, and waits a tenth of the time before it starts a worker again.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx

from service.conftest import SERVE, ServiceProcess
from service.workers.processes import workers
from waiting import SECONDS, until

__all__ = ["EVENTS", "PATIENT", "REQUESTS", "STAGES", "WORDS", "Staged"]

STAGES: Final = ("importing", "ordered", "warming", "mapping", "listening", "serving")
EVENTS: Final = ("killed", "stopped", "failed")
WORDS: Final = ("garbled", "truncated", "oversized", "bare", "miscounted")
"""What a worker that serves may say that cannot be understood."""
REQUESTS: Final = ("unreadable", "torn", "headless")
"""What a worker that serves may send over a connection of requests: it ends that connection alone."""

PATIENT: Final = 100 * round(SECONDS)
"""More ticks than a test waits for."""

STATE: Final = re.compile(r'^nonzero_workers\{state="(\w+)"\} (\S+)$', re.MULTILINE)

QUICK: Final = """
import os
from nonzero_service.workers import worker_process, pool
ticks = int(os.environ["TICKS"])
worker_process.TICK_SECONDS, worker_process.SILENT_TICKS, worker_process.START_TICKS = 0.1, ticks, 5 * ticks
pool.FIRST_RESPITE, pool.LONGEST_RESPITE = 0.05, 0.5
"""

WORKER: Final = """
import os, signal, socket, sys
from importlib.abc import MetaPathFinder
from pathlib import Path

if "nonzero_service.predictor" in sys.orig_argv:
    stage = event = None
    for path in sorted(Path(os.environ["WHAT_HAPPENS"]).iterdir()):
        try:
            path.unlink()
        except FileNotFoundError:  # another has taken it
            continue
        _, stage, event = path.name.split("-")
        break

    def happen(*_, **__):
        match event:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "failed":
                raise OSError("this was to happen")
            case "garbled":
                say(bytes([0xC1]))  # which begins nothing in MessagePack
            case "truncated":
                say(msgspec.msgpack.encode(Pong(1, b"some"))[:-2])
            case "miscounted":
                say(msgspec.msgpack.encode(Pong(0, bytes([0xC1]))))
            case "oversized":
                say(bytes(1 << 17))
            case "bare":
                say(msgspec.msgpack.encode(Connect()))

            case "unreadable":
                request(bytes([0, 0, 0, 1, 0xC1]))
            case "torn":
                request(bytes([0, 0, 0, 9, 0xC1])).close()
            case "headless":
                part = msgspec.msgpack.encode(BodyPart(memoryview(b"x"), False))
                request(len(part).to_bytes(4) + part)

    def say(message, *descriptors):
        with socket.socket(fileno=os.dup(0)) as channel:
            socket.send_fds(channel, [message], descriptors)

    def request(sent):
        global event, kept
        event = None  # once
        kept, theirs = socket.socketpair()
        say(msgspec.msgpack.encode(Connect()), theirs.fileno())
        theirs.close()
        kept.sendall(sent)
        return kept

    if stage == "importing":
        class AtImport(MetaPathFinder):
            def find_spec(self, name, *_):
                if name == "nonzero_service.predictor.server":
                    happen()

        sys.meta_path.insert(0, AtImport())
    else:
        import msgspec
        from nonzero_service.predictor import server as worker
        from nonzero_service.workers.messages import Connect, Pong
        from nonzero_service.workers.request_messages import BodyPart

        worker.TICK_SECONDS, worker.SILENT_TICKS = 0.1, int(os.environ["TICKS"])

        def before(place, name):
            then = getattr(place, name)

            def do(*arguments, **named):
                happen()
                return then(*arguments, **named)

            setattr(place, name, do)

        match stage:
            case "ordered":
                before(worker, "receive")
            case "warming":
                before(worker, "warm_up")
            case "mapping":
                before(worker.MappedModels, "map")
            case "listening":
                before(worker.Worker, "accept")
            case "serving":
                before(worker.Worker, "_tell_counts")
"""


class Staged(ServiceProcess):
    """Such a service.

    Parameters
    ----------
    place
        An empty directory.
    happening
        (stage, event) of each process of a worker in turn.
    ticks
        How many tenths of a second a worker, or the writer, may be silent.

    Attributes
    ----------
    expected
        How many workers there are to be at least.
    """

    program = QUICK + SERVE
    forks_workers = False  # that a start fails, and what comes before it can be heard, is tested by this

    def __init__(
        self, place: Path, happening: list[tuple[str, str]], ticks: int = 20, **settings: Any
    ) -> None:
        (place / "happening").mkdir(parents=True)
        (place / "code").mkdir()
        (place / "code/sitecustomize.py").write_text(WORKER)
        for n, (stage, event) in enumerate(happening):
            (place / f"happening/{n:02}-{stage}-{event}").touch()
        self.happening = place / "happening"
        self.environment = {
            "PYTHONPATH": os.pathsep.join([str(place / "code"), *filter(None, sys.path)]),
            "WHAT_HAPPENS": str(self.happening),
            "TICKS": str(ticks),
        }
        self.data_dir = settings.pop("data_dir", place / "data")
        flags = {"bits": 8, "learning_rate": 0.1, "log_level": "debug", "workers": 3, **settings}
        self.expected = int(flags["workers"]) - 1
        super().__init__(self.data_dir, **flags)

    def events(self, *levels: str) -> list[str]:
        """What the log has said of these levels."""
        return [line["event"] for line in list(self.log) if line.get("level") in levels]

    def until_all_ready(self) -> list[int]:
        """Wait until nothing is left to happen and all workers are ready; return their processes."""
        self.until_listening()
        until(lambda: not list(self.happening.iterdir()))
        until(lambda: self.states()["ready"] >= self.expected)
        until(lambda: len(workers(self)) >= self.expected)  # what metrics say may come before the log's line
        return list(workers(self).values())

    def states(self) -> dict[str, float]:
        """How many workers the metrics say to be in each state."""
        with suppress(httpx.TransportError), self.client() as client:
            answer = client.get("/metrics", timeout=5)
            if answer.status_code == 200:
                return {state: float(count) for state, count in STATE.findall(answer.text)}
        return {"ready": -1}  # who had the connection has ended, or could not ask the others
