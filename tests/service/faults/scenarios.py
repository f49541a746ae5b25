"""What is done while a call fails: some requests, how they may be repeated, and what must come of them."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from nonzero_service.models.served import ServedModel
from nonzero_service.server import Writer
from nonzero_service.writer.entries import remedy_entry
from service.fed import piece_of, positions, run_of

PATH: Final = "/v1/models/default"
JSON: Final = "application/json"
VW: Final = "text/x-vw"

CUT: Final = "cut"
HUNG: Final = "hung"


class Client:
    """Sends requests, each by a connection of its own, and keeps their answers.

    Parameters
    ----------
    address
        The service's.
    tell
        Takes the status and the body of each named request, or what else came of it.
    seconds
        How long it waits.
    """

    def __init__(self, address: tuple[str, int], tell: Callable[[str, Any], object], seconds: float) -> None:
        self._tell = tell
        self._address = address
        self._seconds = seconds

    def send(
        self, path: str, body: bytes = b"", media: str = JSON, key: str = "", method: str = "POST"
    ) -> tuple[Any, Any]:
        """Send a request; return the status and the JSON of its answer."""
        headers = {"content-type": media} if body else {}
        connection = http.client.HTTPConnection(*self._address[:2], timeout=self._seconds)
        try:
            connection.request(method, path, body, headers | ({"idempotency-key": key} if key else {}))
            answer = connection.getresponse()
            said = answer.read()
            return answer.status, json.loads(said) if said[:1] == b"{" else said.decode()
        except TimeoutError:
            return HUNG, None
        except (OSError, http.client.HTTPException):
            return CUT, None
        finally:
            connection.close()

    def named(self, name: str, path: str, body: bytes = b"", **more: Any) -> None:
        """Send a request, and tell what came of it under a name."""
        self._tell(name, self.send(PATH + path, body, **more))

    def told(self, name: str, came: tuple[Any, Any]) -> None:
        """Tell what came of something that no request asked for."""
        self._tell(name, came)

    def is_ready(self) -> bool:
        return bool(self.send("/readyz", method="GET")[0] == 200)

    def until_done(self, path: str, body: bytes, **more: Any) -> Any:
        """Send a request until it is answered by 2xx, or that there is nothing to do."""
        for _ in range(50):
            status, answer = self.send(PATH + path, body, **more)
            if status in (200, 201, 202, 409):
                return answer
            time.sleep(0.02)
        raise AssertionError(f"{path} is answered {status}: {answer}")

    def snapshot(self) -> Any:
        """Take a snapshot; return the status."""
        return self.send(f"{PATH}/snapshots")[0]

    def state(self) -> dict[str, int]:
        """Return how many examples are learned from, and how many are held."""
        status, model = self.send(PATH, method="GET")
        assert status == 200, (status, model)
        lines = self.send("/metrics", method="GET")[1].splitlines()
        held = [float(line.split()[-1]) for line in lines if line.startswith("nonzero_held_examples{")]
        return {"learned": model["sequence"], "held": int(sum(held))}


@dataclass(frozen=True)
class Request:
    """An update of some examples."""

    name: str
    body: bytes
    examples: int
    media: str = JSON
    key: str = ""
    path: str = "/update"

    def send(self, client: Client) -> None:
        client.named(self.name, self.path, self.body, media=self.media, key=self.key)


def nothing(*_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True, eq=False)
class Scenario:
    """What is done."""

    act: Callable[[Client, Writer], None]
    """What is done while a call fails."""
    requests: tuple[Request, ...] = ()
    """The updates among it."""
    settings: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Client], None] = nothing
    """What is done before, in a life of its own."""
    begin: Callable[[Client], None] = nothing
    """What is done before, in the same life."""
    begun: int = 0
    """So many examples are learned from by that."""
    waits_for: int = 0
    """So many examples come by themselves, when windows end."""
    total: bool = True
    """Whether examples that were held count as well: not where they are discarded."""
    again: Callable[[Client], object] = nothing
    """What is repeated after a new start, beside the updates that have a key."""

    def repeat(self, client: Client) -> None:
        """Repeat what may be repeated, after a new start."""
        self.again(client)
        for request in self.requests:
            if request.key:
                client.until_done(request.path, request.body, media=request.media, key=request.key)

    def settle(self, client: Client, seconds: float) -> None:
        """Wait for what comes by itself."""
        until = time.monotonic() + seconds
        while self.waits_for and self._waiting(client) and time.monotonic() < until:
            time.sleep(0.02)

    @staticmethod
    def _waiting(client: Client) -> float:
        status, lines = client.send("/metrics", method="GET")
        if status != 200:
            return 1
        found = [line for line in lines.splitlines() if line.startswith("nonzero_pending_labels{")]
        return sum(float(line.split()[-1]) for line in found)


def examples(name: str, count: int, label: int | None = None) -> bytes:
    rows = [
        {"features": {"site": f"{name}{j % 7}"}, "label": j % 2 if label is None else label}
        for j in range(count)
    ]
    return json.dumps({"examples": rows}).encode()


def one(name: str) -> bytes:
    return json.dumps({"features": {"site": name}, "label": 1}).encode()


def lines(count: int, ones: bool = False) -> bytes:
    """Make lines of VW text, of which one in ten is a click."""
    return b"".join(
        b"%d |site s%d |user u%d\n" % (1 if ones or j % 10 == 0 else -1, j % 9, j % 31) for j in range(count)
    )


AFTER: Final = Request("after", one("after"), 1, key="after")
"""One more, which must be learned from as ever."""


def in_turn(*requests: Request) -> Scenario:
    def act(client: Client, _: Writer) -> None:
        for request in requests:
            request.send(client)

    return Scenario(act, requests)


def at_once(*requests: Request, settings: dict[str, Any]) -> Scenario:
    def act(client: Client, _: Writer) -> None:
        threads = [threading.Thread(target=request.send, args=(client,)) for request in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return Scenario(act, requests, settings)


# -- the breaker --------------------------------------------------------------------------------------------

BREAKING: Final = {"bits": 10, "learning_rate": 0.1, "breaker": "on"}
JUMP: Final = Request("jump", lines(2500, ones=True), 2500, VW, "jump")


def calm(client: Client) -> None:
    status, answer = client.send(f"{PATH}/update", lines(12_000), VW)
    assert (status, answer["accepted"]) == (200, 12_000)


def paused(client: Client) -> None:
    calm(client)
    status, answer = client.send(f"{PATH}/update", JUMP.body, VW)
    assert (status, bool(answer["held"])) == (202, True)


def resume(client: Client, discard: bool) -> Any:
    return client.until_done(f"/resume?discard={str(discard).lower()}", b"")


def resuming(discard: bool) -> Scenario:
    late = Request("late", one("late"), 1, key="late")

    def act(client: Client, _: Writer) -> None:
        client.named("resume", f"/resume?discard={str(discard).lower()}")
        late.send(client)

    return Scenario(
        act, (late,), BREAKING, paused, total=not discard, again=lambda client: resume(client, discard)
    )


# -- labels -------------------------------------------------------------------------------------------------

LABELLED: Final = {"attribution_seconds": 0.4, "correction_seconds": 0, "impressions": "durable"}
IDS: Final = ("a", "b", "c", "d")
LABELS: Final = tuple(
    Request(f"label {name}", json.dumps({"id": name, "label": 1}).encode(), 1, path="/labels")
    for name in IDS[:2]
)


def impressions(client: Client) -> None:
    for name in IDS:
        body = json.dumps({"features": {"site": name}, "id": name}).encode()
        status, _ = client.send(f"{PATH}/predict", body)
        assert status == 200


def labels(client: Client, _: Writer) -> None:
    for label in LABELS:
        label.send(client)
    until = time.monotonic() + 1.5
    while Scenario._waiting(client) and time.monotonic() < until:
        time.sleep(0.02)


# -- what is no batch ---------------------------------------------------------------------------------------

REMEDY: Final = {"action": "rescale", "factor": 0.25}


def remedied(client: Client, server: Writer) -> None:
    """Apply a remedy, as the route does where the diagnosis names one."""
    [served] = server.app.service.models.all()

    async def change(served: ServedModel) -> None:
        await served.learner.change(remedy_entry(REMEDY), lambda: served.model.apply_remedy(REMEDY))

    loop: asyncio.AbstractEventLoop = served.learner._loop
    with suppress(Exception):
        asyncio.run_coroutine_threadsafe(change(served), loop).result(2)
    AFTER_REMEDY.send(client)


AFTER_REMEDY: Final = Request("later", one("later"), 1, key="later")


# -- messages of a topic ------------------------------------------------------------------------------------

MESSAGES: Final = tuple(Request(f"messages {j}", b"", len(run_of(0, 6 * j, 6 * j + 6)[0])) for j in range(4))


def messages(client: Client, server: Writer) -> None:
    """Feed the model, piece by piece, from where it says that it is."""
    [served] = server.app.service.models.all()
    loop: asyncio.AbstractEventLoop = served.learner._loop

    async def learn(first: int) -> int:
        batch, origin = piece_of([(0, first, first + 6)])
        return (await served.learner.submit(batch, origin=origin)).examples

    async def where() -> int:
        return positions(served.learner).get(0, 0)

    for request in MESSAGES:
        try:
            first = asyncio.run_coroutine_threadsafe(where(), loop).result(2)
            if MESSAGES.index(request) * 6 == first:
                learned = asyncio.run_coroutine_threadsafe(learn(first), loop).result(2)
                client.told(request.name, (200, {"accepted": learned}))
        except Exception:  # noqa: BLE001 - whatever it is, what comes next begins where the model says
            client.told(request.name, (503, None))


# -- snapshots ----------------------------------------------------------------------------------------------

BESIDE: Final = tuple(Request(f"beside {j}", examples(f"x{j}", 5), 5, key=f"beside {j}") for j in range(3))


def snapshots(client: Client) -> None:
    for name in ("one", "two"):
        client.send(f"{PATH}/update", examples(name, 20))
        assert client.snapshot() == 201


def snapshot_beside(client: Client, _: Writer) -> None:
    taking = threading.Thread(target=client.named, args=("snapshot", "/snapshots"))
    BESIDE[0].send(client)
    taking.start()
    for request in BESIDE[1:]:
        request.send(client)
    taking.join()


PLAIN: Final = {"bits": 10, "breaker": "off"}

SCENARIOS: Final[dict[str, Scenario]] = {
    name: Scenario(**{**vars(scenario), "settings": {**PLAIN, **scenario.settings}})
    for name, scenario in {
        "an update": in_turn(Request("plain", examples("p", 3), 3)),
        "an update with a key": in_turn(Request("keyed", examples("k", 3), 3, key="k")),
        "a stream with a key": in_turn(Request("stream", lines(700), 700, VW, "s")),
        "single examples": at_once(
            *(Request(f"single {j}", one(f"s{j}"), 1) for j in range(3)), settings={"slices": "site"}
        ),
        "a trip": Scenario(lambda client, _: JUMP.send(client), (JUMP,), BREAKING, begin=calm, begun=12_000),
        "a resumption": resuming(discard=False),
        "a discard": resuming(discard=True),
        "labels and windows": Scenario(
            labels, (), LABELLED | {"negatives": "window"}, begin=impressions, waits_for=len(IDS)
        ),
        # Each impression teaches, and each click once more.
        "labels at once": Scenario(labels, LABELS, LABELLED, begin=impressions, waits_for=len(IDS)),
        "a remedy": Scenario(remedied, (AFTER_REMEDY,)),
        "messages": Scenario(messages, MESSAGES),
        "a snapshot": Scenario(snapshot_beside, BESIDE, {"bits": 12}, snapshots),
    }.items()
}
