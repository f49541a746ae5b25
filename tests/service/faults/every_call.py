"""Services in which one call fails: forked from one process that has imported and compiled everything.

A profiler (:func:`sys.setprofile`) sees every call, of Python and of C, that the service's own code makes
while requests of a scenario are under way. One life of a service counts them; in each further one another
call raises instead of being made. Then the service is killed, unless it ends by itself, and a second life
shows what is left.

Run as a program it reads a JSON command a line from stdin and answers with a line of JSON.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

import nonzero
import nonzero_service
from fork_server import import_all
from nonzero_service import logs
from nonzero_service import server as serving
from nonzero_service.api import update_stream
from nonzero_service.listening import listen
from nonzero_service.models import attribution, rounds
from nonzero_service.models.verifying import verify
from nonzero_service.server import Writer
from nonzero_service.settings import Settings
from service.faults.judging import bounds_of, count
from service.faults.scenarios import AFTER, SCENARIOS, Client, Scenario

CORE: Final = f"{Path(str(nonzero.__file__)).parent}{os.sep}"
SERVICE: Final = f"{Path(str(nonzero_service.__file__)).parent}{os.sep}"
LEARNING: Final = tuple(
    SERVICE + place
    for place in (
        "writer/",
        "journal/",
        "impressions/",
        "models/",
        "api/updates.py",
        "api/update_stream.py",
        "api/idempotency.py",
        "api/labels.py",
        "http/accounting.py",
        "http/inline.py",
        "incidental.py",
    )
)
"""What learns, in whichever thread."""

WRITERS: Final = ("committer", "applier", "impressions")
"""The threads of which every call counts, whoever's: of the others those that :data:`LEARNING` makes."""

NEVER: Final = ("lock.", "RLock.", "__exit__", "__aexit__")
"""What cannot fail before it has begun: giving back what was taken."""

SECONDS: Final = 15.0
"""Within which everything is answered, or the process has ended."""

Point: TypeAlias = tuple[str, str, int, str, int]
"""A thread's name, the caller's file and line, what it calls, and the how manieth such call it is."""


class TornError(BaseException):
    """Something that nobody expects."""


ERRORS: Final[tuple[Callable[[], BaseException], ...]] = (
    lambda: RuntimeError("injected"),
    MemoryError,
    lambda: OSError(errno.ENOSPC, "injected"),
    TornError,
)


class Tracer:
    """Counts the calls that our code makes, and has one of them raise.

    Parameters
    ----------
    point
        Which; None for none.
    error
        What is raised.
    """

    def __init__(self, point: Point | None, error: BaseException) -> None:
        self.armed = False
        self.raised = False
        self.calls: dict[tuple[str, str, int, str], int] = {}
        self._site = None if point is None else tuple(point[:4])
        self._turn = 0 if point is None else point[4]
        self._error = error
        self._names: dict[int, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self.armed:
            return
        if event == "call":
            caller, callee = frame.f_back, frame.f_code.co_name
        elif event == "c_call":
            caller, callee = frame, getattr(argument, "__qualname__", "?")
        else:
            return
        if caller is None or callee.startswith(NEVER):
            return
        file, thread = caller.f_code.co_filename, self._thread()
        if not file.startswith((SERVICE, CORE) if thread in WRITERS else LEARNING):
            return
        site = (thread, file.rpartition("nonzero")[2], caller.f_lineno, callee)
        turn = self.calls[site] = self.calls.get(site, 0) + 1
        if site == self._site and turn == self._turn:
            self.armed, self.raised = False, True
            del frame, argument, caller  # a traceback would keep alive what the failed call was of
            raise self._error

    def _thread(self) -> str:
        ident = threading.get_ident()
        name = self._names.get(ident)
        if name is None:
            name = self._names[ident] = threading.current_thread().name.partition(" ")[0].partition("_")[0]
        return name


class Life:
    """A service in this process, and a client in a thread of its own.

    Parameters
    ----------
    scenario
        What is done.
    data_dir
        Where it is kept.
    tracer
        What sees the calls; None: nothing does.
    """

    def __init__(self, scenario: Scenario, data_dir: Path, tracer: Tracer | None = None) -> None:
        self.tracer = tracer
        self._pipe = os.dup(1)
        self.server = server_of(scenario, data_dir)
        [self.socket] = listen("127.0.0.1", 0)

    def run(self, use: Callable[[Life, Client], None]) -> None:
        """Live until `use` has ended, or the service has."""

        def drive() -> None:
            try:
                client = Client(self.socket.getsockname(), self.tell, SECONDS)
                self._until_ready(client)
                use(self, client)
            except BaseException as error:  # noqa: BLE001 - the test is told
                if not self.failing:
                    self.tell("broken", f"{type(error).__name__}: {error}")
            if self.failing:
                time.sleep(SECONDS)
                self.tell("broken", "the process does not end")
            self.end()

        threading.Thread(target=drive, daemon=True).start()
        if self.tracer is not None:
            threading.setprofile(self.tracer)
            sys.setprofile(self.tracer)
        self.server.run([self.socket])
        self.tell("broken", "the server ended, and not its process") if not self.failing else None
        os._exit(1)

    def tell(self, what: str, value: Any) -> None:
        """Tell the test something, at once: the process may end at any moment."""
        os.write(self._pipe, json.dumps([what, value]).encode() + b"\n")

    def end(self) -> None:
        """End at once, as if killed."""
        if self.tracer is not None:
            self.tell("raised", self.tracer.raised)
            self.tell("calls", [[*site, turns] for site, turns in self.tracer.calls.items()])
        os._exit(0)

    @property
    def failing(self) -> bool:
        """Whether the service is about to end because of an error."""
        return self.server.failure is not None

    def _until_ready(self, client: Client) -> None:
        until = time.monotonic() + SECONDS
        while not client.is_ready():
            if self.failing or time.monotonic() > until:
                raise AssertionError(f"the service does not start: {self.server.failure!r}")
            time.sleep(0.002)


@cache
def server_of(scenario: Scenario, data_dir: Path) -> Writer:
    """Make a server; before the fork, for it takes longer than all the rest."""
    flags = {"data_dir": str(data_dir), "port": 0, "log_level": "warning", **scenario.settings}
    return Writer(Settings.load(**flags))


def prepare(scenario: Scenario, data_dir: Path) -> None:
    """Make what a scenario begins with."""

    def use(life: Life, client: Client) -> None:
        scenario.prepare(client)
        life.tell("prepared", True)

    Life(scenario, data_dir).run(use)


def first(scenario: Scenario, data_dir: Path, point: Point | None, kind: int) -> None:
    """Do what a scenario does, while one call raises."""

    def use(life: Life, client: Client) -> None:
        assert life.tracer is not None
        life.tell("before", client.state())
        scenario.begin(client)
        life.tracer.armed = True
        scenario.act(client, life.server)
        life.tracer.armed = False
        if not life.failing:  # it lives on: then its books are right, and it learns and saves as before
            scenario.settle(client, SECONDS)
            scenario.repeat(client)
            AFTER.send(client)
            saved = client.snapshot()
            if not life.failing:
                life.tell("saved", saved)

    Life(scenario, data_dir, Tracer(point, ERRORS[kind]())).run(use)


def second(scenario: Scenario, data_dir: Path, least: int) -> None:
    """Start anew; repeat what may be repeated, and wait until there are as many examples as there must be."""

    def use(life: Life, client: Client) -> None:
        life.tell("found", client.state())
        scenario.repeat(client)
        until = time.monotonic() + SECONDS
        while count(client.state(), scenario) < least and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.1 if scenario.waits_for else 0)  # more would be one too many
        life.tell("after", client.state())

    life = Life(scenario, data_dir)
    life.tell("faults", verify(data_dir / "models" / "default", lambda *_: None).faults)
    life.run(use)


def child(command: dict[str, Any]) -> None:
    """Be a life."""
    log = os.open(command["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 2)
    scenario, data_dir = SCENARIOS[command["scenario"]], Path(command["data_dir"])
    match command["do"]:
        case "prepare":
            prepare(scenario, data_dir)
        case "first":
            point = None if command["point"] is None else tuple(command["point"])
            first(scenario, data_dir, point, command["kind"])
        case "second":
            second(scenario, data_dir, command["least"])


def run() -> None:
    """Be the process from which lives are forked."""
    # So that little is enough, and soon.
    for module, name, value in (
        (update_stream, "PIECE", 4096),
        (update_stream, "LARGE_PIECE", 4096),
        (rounds, "LOOK_SECONDS", 0.05),
        (attribution, "PATIENCE", 1.0),
        (serving, "LAST_WORDS", 0.03),
        (serving, "LAST_SECONDS", 0.3),
    ):
        setattr(module, name, value)
    logs.configure("warning", "json")
    import_all()
    for line in sys.stdin:
        command = json.loads(line)
        server_of(SCENARIOS[command["scenario"]], Path(command["data_dir"]))
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.close(reading)
                os.dup2(writing, 1)
                child(command)
            except BaseException as error:  # noqa: BLE001 - the test is told
                os.write(1, json.dumps(["broken", repr(error)]).encode() + b"\n")
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        told = [json.loads(line) for line in said.splitlines()]
        sys.stdout.write(json.dumps({**dict(told), "status": status}) + "\n")
        sys.stdout.flush()


class Lives:
    """The process from which lives are forked."""

    def __init__(self, server: subprocess.Popen[str], place: Path) -> None:
        self._server = server
        self.place = place
        self.log = place / "log"

    def ask(self, do: str, scenario: str, data_dir: Path, **more: Any) -> dict[str, Any]:
        """Have a life lived; return what it told."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self.log.unlink(missing_ok=True)
        command = {"do": do, "scenario": scenario, "data_dir": str(data_dir), "log": str(self.log), **more}
        self._server.stdin.write(json.dumps(command) + "\n")
        self._server.stdin.flush()
        told: dict[str, Any] = json.loads(self._server.stdout.readline())
        return told

    def prepare(self, scenario: str) -> Path:
        """Make what a scenario begins with; return where it is."""
        template = self.place / f"{scenario}-template"
        told = self.ask("prepare", scenario, template)
        assert "prepared" in told, (told, self.log.read_text())
        return template

    def pair(
        self, scenario: str, template: Path, point: Point | None, kind: int = 0
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Have a first and a second life on a copy of a template."""
        data_dir = self.place / "data"
        shutil.copytree(template, data_dir)
        one = self.ask("first", scenario, data_dir, point=point, kind=kind)
        one["log"] = self.log.read_text()
        least = bounds_of(SCENARIOS[scenario], one)[0] if "before" in one else 0
        two = self.ask("second", scenario, data_dir, least=least)
        two["log"] = self.log.read_text()
        shutil.rmtree(data_dir)
        return one, two


@contextmanager
def lives(place: Path) -> Iterator[Lives]:
    """Begin the process from which lives are forked."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield Lives(server, place)
        assert server.stdin is not None
        server.stdin.close()


if __name__ == "__main__":
    run()
