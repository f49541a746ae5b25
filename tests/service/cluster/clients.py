"""Clients of a cluster: each asks any node, and notes what it is told.

They send keyed updates, predictions and labels. What is not acknowledged is sent again, to another node,
until it is.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from checking import Kind, Operation
from waiting import until

PATH = "/v1/models/default"
JSON = {"content-type": "application/json"}

PAUSE_SECONDS = 0.02
"""Between two rounds of a client: the machine has other things to do."""

AGAIN_SECONDS = 0.05
"""Before a client tries again what was not acknowledged."""

LAST_SECONDS = 60.0
"""How long a client that is to end tries to have its last request acknowledged."""


class Endpoint(Protocol):
    """A node, as clients see it."""

    name: str
    port: int


def weight_of(client: int) -> float:
    """Return the weight of each of a client's examples: float64 adds them up exactly."""
    return 1 + client / 8


class Recorder:
    """Asks nodes, and notes what they are asked and what they answer.

    Parameters
    ----------
    number
        Which.
    nodes
        Those that it may ask.
    answer_seconds
        How long it waits for an answer.
    """

    def __init__(self, number: int, nodes: Sequence[Endpoint], answer_seconds: float) -> None:
        self.number = number
        self._answer_seconds = answer_seconds
        self.operations: list[Operation] = []
        self._nodes = nodes
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def ask(
        self,
        node: Endpoint,
        kind: Kind,
        key: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = JSON,
        **known: Any,
    ) -> Operation:
        """Ask a node once."""
        start = time.monotonic()
        status, answer, problem = self._asked(node, path, body, headers)
        operation = Operation(
            client=self.number,
            node=node.name,
            kind=kind,
            key=key,
            start=start,
            end=time.monotonic(),
            status=status,
            answer=answer,
            problem=problem,
            **known,
        )
        self.operations.append(operation)
        return operation

    def _asked(
        self, node: Endpoint, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int | None, dict[str, Any], str]:
        """Return the status, the JSON of the answer, and what is wrong with its form."""
        connection = self._connections.get(node.name)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=self._answer_seconds)
            self._connections[node.name] = connection
        try:
            connection.request("GET" if body is None else "POST", path, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None, {}, ""
        problem = ""
        if answer.status != 200 and answer.headers["content-type"] != "application/problem+json":
            problem = f"it comes as {answer.headers['content-type']}"
        if b"Traceback" in content:
            problem = content.decode(errors="replace")
        try:
            return answer.status, json.loads(content), problem
        except ValueError:
            return answer.status, {}, problem or f"it is no JSON: {content[:200]!r}"

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


class Client(Recorder):
    """One client.

    Parameters
    ----------
    number
        Which.
    nodes
        Those that it may ask.
    answer_seconds
        How long it waits for an answer, before it asks another node.
    ending
        Set when it is to have its last request acknowledged.
    """

    def __init__(
        self, number: int, nodes: Sequence[Endpoint], answer_seconds: float, ending: threading.Event
    ) -> None:
        super().__init__(number, nodes, answer_seconds)
        self._chance = random.Random(number)
        self._node = nodes[number % len(nodes)]
        self._ending = ending
        self._sequence = 0
        """The newest that it was told of."""
        self._sent: list[tuple[str, bytes, int]] = []

    def run(self) -> None:
        n = 0
        while not self._ending.is_set():
            n += 1
            self._update(f"{self.number}-{n}", *self._new_update(n))
            self._read()
            if n % 4 == 0:
                self._impression(f"{self.number}-{n}")
            if n % 5 == 0:
                self._once_more()
            time.sleep(PAUSE_SECONDS)
        self.close()

    def _new_update(self, n: int) -> tuple[bytes, int]:
        rows = [
            {
                "features": {"client": f"c{self.number}", "site": f"s{(n + j) % 11}", "user": f"u{n % 37}"},
                "label": int(self._chance.random() < 0.2),
                "weight": weight_of(self.number),
            }
            for j in range(1 + n % 5)
        ]
        return json.dumps({"examples": rows}).encode(), len(rows)

    def _update(self, key: str, body: bytes, examples: int) -> None:
        self._until_acknowledged(
            "update", key, f"{PATH}/update", body, JSON | {"idempotency-key": key}, examples=examples
        )
        self._sent.append((key, body, examples))

    def _once_more(self) -> None:
        """Send an update again that was acknowledged some time ago, by any node."""
        key, body, examples = self._chance.choice(self._sent[-200:])
        headers = JSON | {"idempotency-key": key}
        self.ask(self._any(), "update", key, f"{PATH}/update", body, headers, examples=examples)

    def _read(self) -> None:
        """Ask any node for a prediction by a model that knows all that this client was told is learned."""
        asked = self._sequence
        headers = JSON | {"nonzero-min-sequence": str(asked)}
        body = json.dumps({"features": {"client": f"c{self.number}"}}).encode()
        self.ask(self._any(), "predict", "", f"{PATH}/predict", body, headers, asked=asked)

    def _impression(self, name: str) -> None:
        """Predict with an id, and tell later, perhaps another node, that it was clicked."""
        example = {"features": {"client": f"c{self.number}"}, "id": name, "weight": weight_of(self.number)}
        body = json.dumps({"examples": [example]}).encode()
        if self._until_acknowledged("predict", name, f"{PATH}/predict", body, JSON):
            label = json.dumps({"id": name, "label": 1}).encode()
            self._until_acknowledged("label", name, f"{PATH}/labels", label, JSON)

    def _until_acknowledged(
        self, kind: Kind, key: str, path: str, body: bytes, headers: Mapping[str, str], **known: Any
    ) -> bool:
        """Ask one node after the other; return whether one has acknowledged it before it was too late."""
        last: float | None = None
        while True:
            asked = self.ask(self._node, kind, key, path, body, headers, **known)
            if asked.is_answered:
                if kind == "update":
                    self._sequence = max(self._sequence, asked.sequence)
                return True
            if kind == "label" and asked.status in (404, 409):
                return asked.status == 409
            self._node = self._any()
            time.sleep(AGAIN_SECONDS)
            if self._ending.is_set():
                last = last or time.monotonic() + LAST_SECONDS
                if time.monotonic() > last:
                    return False

    def _any(self) -> Endpoint:
        return self._chance.choice(self._nodes)


class Observer(Recorder):
    """One that asks a node again and again whether it leads."""

    def run(self, ending: threading.Event) -> None:
        while not ending.wait(0.1):
            self.ask(self._nodes[0], "leader", "", "/leader", None, {})
        self.close()


class Clients:
    """Several clients at once, and for each node one that asks whether it leads.

    Parameters
    ----------
    nodes
        Those that they may ask.
    count
        How many clients there are.
    answer_seconds
        How long each waits for an answer, before it asks another node.
    """

    def __init__(self, nodes: Sequence[Endpoint], count: int = 8, answer_seconds: float = 3.0) -> None:
        self._ending = threading.Event()
        self.all = [Client(number, nodes, answer_seconds, self._ending) for number in range(count)]
        self._observers = [Observer(-1, [node], answer_seconds) for node in nodes]
        self._failed: list[BaseException] = []
        runs: list[Callable[[], None]] = [client.run for client in self.all]
        runs += [partial(observer.run, self._ending) for observer in self._observers]
        self._threads = [threading.Thread(target=self._run, args=[run]) for run in runs]

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - the test is to see it
            self._failed.append(error)
            self._ending.set()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each have its last request acknowledged."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        assert not self._failed, self._failed

    def until_acknowledged_since(self, moment: float) -> float:
        """Wait until a node learns from an update that was sent after a moment; return how long that took.

        What was learned from before, and is only answered again, does not count.
        """

        def found() -> float | None:
            assert not self._failed, self._failed
            ends = []
            for client in self.all:
                for one in reversed(client.operations):
                    if one.end < moment:
                        break
                    anew = one.kind == "update" and one.is_answered and not one.answer["replayed"]
                    if anew and one.start >= moment:
                        ends.append(one.end)
            return min(ends, default=None)

        end = until(found)
        assert end is not None
        return end - moment

    @property
    def operations(self) -> list[Operation]:
        """All that was asked and answered."""
        return [one for recorder in (*self.all, *self._observers) for one in recorder.operations]
