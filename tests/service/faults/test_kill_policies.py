"""kill -9 of a busy service, of which a challenger learns from impressions when its champion does not.

It is promoted, and so are those that follow what it has become.
"""

from __future__ import annotations

import random
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero_service.impressions.array_text import array_of
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.promotions import promotions_in
from nonzero_service.models.rebuilding import rebuild
from nonzero_service.models.verifying import verify
from nonzero_service.writer.rejoiner import Rejoiner
from service.conftest import ServiceProcess, Start
from service.faults.invariants import silent
from service.faults.test_kill_challengers import kill_at
from service.models.test_challengers import (
    OTHER,
    compared,
    digest,
    follow,
    until_compared,
    without_names,
)
from service.series import series
from service.straced import needs_strace
from waiting import until

DEFAULT = "/v1/models/default"
SETTINGS = {
    "attribution_seconds": 0.3,
    "correction_seconds": 1,
    "breaker": "off",
    "slices": "site",
    "journal_retention": "all",
}


class Traffic:
    """Predicts, labels and updates at random, as long as the service lasts."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._made = 0
        self.sent = 0

    def run(self, service: ServiceProcess, over: threading.Event) -> None:
        with suppress(httpx.TransportError), service.client() as client:
            while not over.is_set():
                self._once(client)
                self.sent += 1

    def _once(self, client: httpx.Client) -> None:
        chance = self._chance
        what = chance.choice(["predict", "predict", "label", "label", "update", "snapshot"])
        near = [f"i{chance.randrange(max(self._made - 300, 0), self._made + 1)}" for _ in range(9)]
        if what == "predict":
            rows: list[dict[str, Any]] = [
                {"features": self._features(), "id": f"i{self._made + j}"} for j in range(12)
            ]
            self._made += 12
            answer = client.post(f"{DEFAULT}/predict", json={"examples": rows})
        elif what == "label":
            labels = [{"id": name, "label": chance.randrange(2)} for name in near]
            answer = client.post(
                f"{DEFAULT}/labels", json={"labels": labels}
            )  # all may be known, or too late
        elif what == "update":  # some of them are labels
            rows = [{"features": self._features(), "label": chance.randrange(2)} for _ in near]
            for row, name in zip(rows[::2], near[::2], strict=True):
                row["id"] = name
            answer = client.post(f"{DEFAULT}/update", json={"examples": rows})
        else:
            answer = client.post(f"/v1/models/{chance.choice(['b', 'c', 'default'])}/snapshots")
            if answer.status_code in (404, 503):  # it has been promoted, or just now
                return
        assert answer.status_code in (200, 201, 202, 422), answer.text

    def _features(self) -> dict[str, str]:
        return {"site": f"s{self._chance.randrange(9)}", "ad": f"a{self._chance.randrange(40)}"}


def kill_at_random(serve: Start, data_dir: Path, kills: int) -> None:
    """Kill a busy service again and again, and hold all that is kept against the rows."""
    traffic, chance = Traffic(kills), random.Random(kills)
    for life in range(kills):
        service = serve(data_dir, **SETTINGS).until_ready()
        with service.client() as client:
            make(client, "nothing" if not life else "refold")
            if not life:  # it learns when its champion does, and that is another one later
                assert client.put("/v1/models/c", json={"follows": "default"}).status_code == 201
            for name in ("b", "c"):
                until_compared(client, name)
        over, enough = threading.Event(), traffic.sent + 60 + chance.randrange(60)
        sending = threading.Thread(target=traffic.run, args=(service, over))
        sending.start()
        until(lambda enough=enough: traffic.sent >= enough)  # type: ignore[misc]
        if life:
            promoting = threading.Thread(target=promote, args=(service,))
            promoting.start()
            if life % 2:  # else the kill comes while it goes on
                promoting.join()
            enough = traffic.sent + chance.randrange(15)
            until(lambda enough=enough: traffic.sent >= enough)  # type: ignore[misc]
        assert service.kill() == -9
        over.set()
        sending.join()
        check(serve, data_dir)


def make(client: httpx.Client, start: str) -> None:
    """Make a challenger, where there is none: by its own policy, if it is not its champion's already."""
    if client.get("/v1/models/b").status_code == 404:
        body = {"follows": "default", "start": start, "negatives": "window", "learning_rate": 0.3, "bits": 18}
        assert client.put("/v1/models/b", json=body).status_code == 201


def promote(service: ServiceProcess) -> None:
    """Promote it, where the service lasts so long."""
    with suppress(httpx.TransportError), service.client() as client:
        assert client.post(f"{DEFAULT}/promote?with=b").status_code == 200


def check(serve: Start, data_dir: Path) -> None:
    """Verify what is kept; start, kill and start: all is the same to the bit."""
    models = data_dir / "models"
    for path in models.iterdir():
        assert path.name[0] == "." or verify(path, silent).faults == []
    check_promotions(models / "default")
    found = []
    for _ in range(2):
        service = serve(data_dir, **SETTINGS).until_ready()
        with service.client() as client:
            make(client, "refold")
            until_compared(client)
            until_settled(client)
            state = client.get(DEFAULT).json()
            figures: list[object] = [state["sequence"]]
            for name in ("b", "c"):
                figures += [
                    without_names(compared(client, name)),
                    client.get(f"/v1/models/{name}/metrics").json(),
                    client.get(f"/v1/models/{name}").json()["settings"],
                ]
            for name, learned in (("default", state["sequence"]), ("c", learned_by(client, "c"))):
                rows = client.get(f"/v1/models/{name}/history", params={"step": "minute"}).json()["rows"]
                assert sum(row["examples"] for row in rows) == learned, name
            found.append((digest(client, "default", data_dir / "default.model"), figures))
            assert not service.lines("a challenger learns no more")
        assert service.kill() == -9
    assert found[0] == found[1]
    rebuilt = rebuild(models / "default", state["settings"]["bits"], lambda _, __: None)
    assert rebuilt.digest() == found[0][0]


def learned_by(client: httpx.Client, name: str) -> int:
    found: int = client.get(f"/v1/models/{name}/metrics").json()["examples"]
    return found


def check_promotions(directory: Path) -> None:
    """Hold what promotions say of impressions against a fold of all rows before them."""
    with JournalReader(directory) as reader:
        for position, promotion in promotions_in(reader).values():
            origin, taken = promotion.origin, promotion.impressions
            assert taken is not None
            assert origin.policy is not None
            model, rejoiner = origin.new_model(), Rejoiner(origin.policy, reader)
            for row in reader.read(origin.position + 1):
                if row.position == position:
                    break
                rejoiner.follow(model, row, model.learn_checked)
            said = array_of(taken.states, np.uint8)
            theirs = rejoiner.store.segments.states(np.arange(taken.first, taken.first + said.size))
            known = theirs != ImpressionState.DAMAGED
            assert (said[known] == theirs[known]).all()
            assert taken.negatives == "window"


def until_settled(client: httpx.Client) -> None:
    """Wait until all windows have ended, of which the champion may learn, and the challenger is as far."""
    for name in ("nonzero_pending_labels", "nonzero_waiting_impressions"):
        until(lambda name=name: series(client, name) == 0)  # type: ignore[misc]
    sequence = client.get(DEFAULT).json()["sequence"]
    for name in ("b", "c"):
        until(lambda name=name: client.get(f"/v1/models/{name}").json()["sequence"] == sequence)  # type: ignore[misc]


def test_random_moments(serve: Start, memory_path: Path) -> None:
    kill_at_random(serve, memory_path / "data", 2)
    with JournalReader(memory_path / "data" / "models" / "default") as reader:
        assert {row.kind for row in reader.read()} >= {"impression", "joined", "label", "promotion"}


def script(service: ServiceProcess) -> bool:
    """Promote a challenger between predictions, as far as the service lasts; return whether to the end."""
    if not service.is_ready():
        return False
    try:
        with service.client() as client:
            state = client.get(DEFAULT).json()
            is_promoted = state["settings"]["negatives"] == "window"
            if not is_promoted and not state["followers"]:
                follow(client, "nothing", "b", negatives="window", **OTHER)
            sent(client, 0, 10, {0: 1, 1: 0})
            if not is_promoted:
                until_compared(client)
                assert client.post(f"{DEFAULT}/promote?with=b").status_code == 200
            sent(client, 10, 10, {2: 1, 11: 1})
    except (httpx.TransportError, AssertionError):
        if not service.has_ended() and service.until_ended() != -signal.SIGKILL:
            raise
        return False
    return True


def sent(client: httpx.Client, first: int, n: int, labels: dict[int, int]) -> list[str]:
    """Predict and label; what was sent before is known. Return why labels changed nothing."""
    rows = [{"features": {"site": f"s{j % 3}"}, "id": f"{j}"} for j in range(first, first + n)]
    assert client.post(f"{DEFAULT}/predict", json={"examples": rows}).status_code == 200
    body = {"labels": [{"id": f"{j}", "label": label} for j, label in labels.items()]}
    answer = client.post(f"{DEFAULT}/labels", json=body)
    assert answer.status_code in (200, 202, 422), answer.text
    return [one["reason"] for one in answer.json()["errors"]]


def check_promoted(client: httpx.Client, _: Path) -> None:
    """Hold that all wait for the end of their windows, and that the new model has learned from none."""
    assert series(client, "nonzero_pending_labels") == 16
    assert client.get(f"{DEFAULT}/metrics").json()["examples"] == 0
    assert sent(client, 0, 20, {0: 1, 1: 0, 2: 1, 11: 1}) == ["this label is known already"] * 4
    assert client.get(DEFAULT).json()["sequence"] == 11


@needs_strace
def test_renames(serve: Start, memory_path: Path) -> None:
    assert kill_at(serve, memory_path, ("rename",), 2, script, check_promoted) > 1


@needs_strace
@pytest.mark.soak
def test_every_write_of_a_promotion(serve: Start, memory_path: Path) -> None:
    calls = ("rename", "fsync", "fdatasync", "pwrite64")
    assert kill_at(serve, memory_path, calls, 12, script, check_promoted) > 20


@pytest.mark.soak
def test_random_moments_long(serve: Start, memory_path: Path) -> None:
    kill_at_random(serve, memory_path / "data", 60)
