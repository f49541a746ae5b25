"""Each worker killed, stopped or failing at each stage of its life: another takes its place."""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from machine import children, has_ended, is_stopped, open_files
from service.conftest import ServiceProcess
from service.series import series
from service.workers.processes import EXAMPLE, PREDICT, UPDATE, until_replaced, workers
from service.workers.staged import EVENTS, PATIENT, REQUESTS, STAGES, WORDS, Staged
from waiting import until

Start = Callable[..., Staged]


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Start]:
    started: list[Staged] = []

    def start(*happening: tuple[str, str], **settings: Any) -> Staged:
        started.append(Staged(tmp_path / str(len(started)), list(happening), **settings))
        return started[-1]

    yield start
    for service in started:
        service.stop(signal.SIGKILL)


def predictions(service: ServiceProcess) -> float:
    """How many the metrics say that there were."""
    with service.client() as client:
        return series(client, 'nonzero_predictions_total{model="default"}')


def predicts(service: ServiceProcess) -> None:
    """Every connection is answered, whoever has it."""
    for _ in range(12):
        with service.client() as client:
            assert client.post(PREDICT, json=EXAMPLE).status_code == 200


ALL = [(stage, event) for event in EVENTS for stage in STAGES]
# First who is stopped: that takes longest to be noticed.
EARLY = [("warming", "stopped"), ("importing", "killed"), ("ordered", "failed"), ("mapping", "failed")]
LATE = [("serving", "stopped"), ("listening", "killed"), ("serving", "failed")]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("happening", "words"),
    [(EARLY, WORDS[:2]), (LATE, WORDS[2:]), pytest.param(ALL, WORDS, marks=pytest.mark.soak)],
    ids=["early", "late", "each event at each stage"],
)
def test_whatever_happens_to_a_worker_another_takes_its_place(
    staged: Start, happening: list[tuple[str, str]], words: tuple[str, ...]
) -> None:
    service = staged(*happening, *(("serving", word) for word in words), workers=3)
    service.until_listening()
    with service.client() as client:
        until(lambda: client.post(PREDICT, json=EXAMPLE).status_code == 200)  # the writer alone
        assert client.get("/readyz").status_code == 503
    service.until_all_ready()
    service.until_ready()
    predicts(service)
    counted = Counter(service.events("error", "critical", "warning"))
    ended = counted.pop("a worker has ended; another takes its place")
    unmapped = happening.count(("mapping", "failed"))  # which ends nothing
    assert ended >= len(happening) + len(words) - unmapped
    silent = sum(event == "stopped" for _, event in happening)
    silent += happening.count(("serving", "failed"))  # it cannot answer, for errors
    assert counted.pop("a worker does not answer; it is ended") >= silent
    assert counted.pop("a worker cannot be understood; it is ended") == len(words)
    assert counted.pop("a model cannot be mapped; the writer predicts with it", 0) == unmapped
    assert not [line for line in service.log if line.get("worker") is None and line["event"] in counted]
    assert service.stop() == 0


def test_a_request_that_cannot_be_understood_ends_its_connection_alone(staged: Start) -> None:
    service = staged(*(("serving", request) for request in REQUESTS), workers=len(REQUESTS) + 1)
    service.until_ready()
    pids = service.until_all_ready()
    unknown = "a forwarded request cannot be understood"
    until(lambda: service.events("error").count(unknown) == len(REQUESTS) - 1)  # one is only torn off
    reasons = [line["reason"] for line in service.log if line.get("event") == unknown]
    assert sorted(reasons) == [
        "a message of 1 bytes cannot be understood",
        "a part of a body came without a request",
    ]
    with service.client() as client:
        assert client.post(UPDATE, json=EXAMPLE | {"label": 1}).status_code == 200  # which opens the journal
    before = open_files(service.pid)
    predicts(service)
    with service.client() as client:
        assert client.post(UPDATE, json=EXAMPLE | {"label": 1}).status_code == 200
    assert sorted(service.until_all_ready()) == sorted(pids)
    assert set(service.events("error", "critical")) == {unknown}
    until(lambda: open_files(service.pid) <= before + len(REQUESTS))  # what is forwarded has connections
    assert service.stop() == 0


def test_a_worker_that_ends_later_leaves_the_service_ready_its_counts_and_no_descriptor(
    staged: Start,
) -> None:
    service = staged()
    service.until_ready()
    service.until_all_ready()
    before = open_files(service.pid) + 2  # two connections may just be ending
    sent = 0
    for sig in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        [pid, other] = service.until_all_ready()
        for _ in range(20):
            with service.client() as client:
                sent += client.post(PREDICT, json=EXAMPLE).status_code == 200
        if sig != signal.SIGTERM:  # then it has no last words
            assert predictions(service) == sent
        os.kill(pid, sig)

        def replaced(pid: int = pid) -> bool:
            with suppress(httpx.TransportError), service.client() as client:
                assert client.get("/readyz").status_code == 200
            return pid not in workers(service).values()

        until(replaced)
        assert has_ended(pid)
        assert other in workers(service).values()
    service.until_all_ready()
    until(lambda: open_files(service.pid) <= before)
    assert predictions(service) == sent == 60
    with service.client() as client:
        assert "nonzero_workers_replaced_total 3.0" in client.get("/metrics").text


def test_a_worker_that_cannot_be_started_is_tried_again(staged: Start) -> None:
    service = staged(workers=2)
    service.expected = 1
    service.until_ready()
    [pid] = service.until_all_ready()
    most = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    with service.client() as client:
        assert client.get("/healthz").status_code == 200
        before = open_files(service.pid)
        # What the worker leaves is too little for another one, and enough for what is asked below.
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (before, most[1]))
        os.kill(pid, signal.SIGKILL)
        failed = "a worker cannot be started; it is tried again"
        until(lambda: service.events("error").count(failed) >= 3)
        assert client.get("/readyz").status_code == 200
        # Nobody else is there; but a try may have the last descriptors, without which metrics cannot be read.
        until(lambda: 'nonzero_workers{state="missing"} 1.0' in client.get("/metrics").text)
        until(lambda: open_files(service.pid) < before)  # between two tries
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, most)
        until_replaced(service, pid)
        assert client.post(UPDATE, json=EXAMPLE | {"label": 1}).status_code == 200


def test_a_stop_ends_in_time_whatever_a_worker_does(staged: Start) -> None:
    service = staged(("warming", "stopped"), workers=4, grace_seconds=2, ticks=PATIENT)
    service.expected = 2
    [pid, _] = service.until_all_ready()
    os.kill(pid, signal.SIGSTOP)
    assert service.stop() == 0  # long before it would be noticed that a worker is silent
    until(lambda: has_ended(pid))


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "stuck", [("importing", "ordered"), ("warming", "mapping"), ("mapping", "listening")], ids=" and ".join
)
def test_workers_let_go_of_the_port_when_the_writer_is_killed(
    staged: Start, tmp_path: Path, stuck: tuple[str, ...]
) -> None:
    service = staged(*((stage, "stopped") for stage in stuck), workers=len(stuck) + 3, ticks=PATIENT)
    service.expected = 2
    [stopped, _] = service.until_all_ready()
    os.kill(stopped, signal.SIGSTOP)
    begun = children(service.pid)
    until(lambda: sum(map(is_stopped, begun)) == len(stuck) + 1)
    service.kill()
    until(lambda: has_ended(stopped))  # long before it would find that the writer is silent
    again = Staged(tmp_path / "again", [], data_dir=str(service.data_dir), port=service.port, workers=1)
    try:
        again.until_ready()
        until(lambda: all(map(has_ended, begun)))
        predicts(again)
    finally:
        again.stop(signal.SIGKILL)
