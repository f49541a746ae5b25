"""kill -9 of a service under load: at random moments, and at every system call that writes."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from nonzero_service.models.verifying import verify
from reporting import Figure
from service.conftest import ServiceProcess, Start
from service.faults.clients import PATH, Clients, request
from service.faults.invariants import Oracle, check, silent
from service.straced import needs_strace, traced
from waiting import until

WRITES = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink")


def kill_at_random(serve: Start, data_dir: Path, kills: int) -> int:
    """Kill a busy service again and again; return how many requests it answered in all."""
    chance = random.Random(kills)
    clients = Clients(6)
    directory = data_dir / "models" / "default"
    oracle = Oracle(directory)
    for _ in range(kills):
        # Six streams that set in one after another are a jump: the breaker would hold what they bring.
        service = serve(data_dir, journal_retention="all", breaker="off").until_ready()
        clients.start(service)
        answered = len(clients.acknowledged()) + chance.randrange(150)
        until(lambda answered=answered: len(clients.acknowledged()) >= answered)  # type: ignore[misc]
        assert service.kill() == -9
        clients.stop()
        check(oracle, clients)
    # Pruning behind the snapshots loses nothing either.
    service = serve(data_dir, breaker="off").until_ready()
    clients.start(service)
    until(oracle.pruned)
    assert service.kill() == -9
    clients.stop()
    found = verify(directory, silent)
    assert found.faults == []
    assert found.journal is not None
    assert found.journal.first > 1
    acknowledged = sum(examples for examples, _ in clients.acknowledged().values())
    assert acknowledged <= found.journal.sequence <= acknowledged + sum(clients.in_flight().values())
    return len(clients.acknowledged())


def test_random_moments(serve: Start, tmp_path: Path) -> None:
    assert kill_at_random(serve, tmp_path / "data", 4) > 50


@pytest.mark.soak
def test_random_moments_long(serve: Start, tmp_path: Path, figure: Figure) -> None:
    answered = kill_at_random(serve, tmp_path / "data", 200)
    figure(
        "`kill -9` of a service at random moments, six clients of keyed updates and one of snapshots",
        "200 kills: I1 to I6, none broken",
        f"200 kills, {answered:,} requests answered: none broken",
    )
    assert answered > 2000


def script(service: ServiceProcess) -> bool:
    """Use a service in a fixed order; return whether it lasted to the end."""
    if not service.is_ready():
        return False
    try:
        with service.client() as client:
            for n in range(8):
                sent = request(1, 3 * n if n % 2 else 3 * n + 2)
                headers = {"content-type": sent.media, "idempotency-key": sent.key}
                answer = client.post(f"{PATH}/update", content=sent.body, headers=headers)
                assert answer.status_code == 200, answer.text
                if n in (2, 4, 6):
                    assert client.post(f"{PATH}/snapshots").status_code == 201
    except httpx.TransportError:
        return False
    return True


def digest_of(data_dir: Path) -> str:
    newest = snapshots_in(data_dir / "models" / "default" / "snapshots")[0]
    return LogisticRegression.load(newest.path).digest()


Point = tuple[int | None, str, int]
"""A thread that is there when the service is ready (None: any, from the start), a call, which of them."""


def uninterrupted(serve: Start, directory: Path, most: int) -> tuple[str, list[Point]]:
    """Return the digest that the script leads to, and the points at which it, and so many threads, write."""
    points: list[Point] = []
    options = "-e", f"trace={','.join(WRITES)}"
    service = serve(directory / "whole", held=True)
    with traced(service.child, *options, "-o", str(directory / "strace")):
        service.child.go()
        assert script(service)
        threads = len(list(Path(f"/proc/{service.pid}/task").iterdir()))
        assert service.stop() == 0
    calls = re.findall(r"^(\d+) +(\w+)\(", (directory / "strace").read_text(), re.MULTILINE)
    for call in WRITES:  # strace counts the calls of each thread by itself
        most = max(Counter(thread for thread, name in calls if name == call).values(), default=0)
        points += [(None, call, n) for n in range(1, most + 1)]
    for thread in random.Random(most).sample(range(threads), min(most, threads)):
        service = serve(directory / f"whole-{thread}").until_ready()
        if len(list(Path(f"/proc/{service.pid}/task").iterdir())) <= thread:
            service.kill()
            continue
        with traced(service.child, *options, "-o", str(directory / "strace"), thread=thread):
            assert script(service)
            assert service.stop() == 0
        counts = Counter(re.findall(r"^(\w+)\(", (directory / "strace").read_text(), re.MULTILINE))
        points += [(thread, call, n) for call in WRITES for n in range(1, counts[call] + 1)]
    return digest_of(directory / "whole"), points


def has_thread(service: ServiceProcess, thread: int) -> bool:
    """Wait a moment for a service to have so many threads: those of pools are begun when they are needed."""
    tasks = Path(f"/proc/{service.pid}/task")
    for _ in range(20):
        if len(list(tasks.iterdir())) > thread:
            return True
        time.sleep(0.01)
    return False


def kill_at_writes(serve: Start, directory: Path, most: int, threads: int) -> tuple[int, int]:
    """Kill the script at some of its writes, and run it again with the same keys; return how many killed it.

    The model is then the one that there would be without the kill. The second figure is the points tried.
    """
    expected, points = uninterrupted(serve, directory, threads)
    chosen = points if most >= len(points) else random.Random(most).sample(points, most)
    killed = tried = 0
    for thread, call, n in chosen:
        where = f"{call} {n} of thread {thread}"
        data_dir = directory / "killed"
        options = "-e", f"inject={call}:signal=SIGKILL:when={n}", "-e", f"trace={call}"
        service = serve(data_dir, held=thread is None)
        if thread is not None:
            assert service.is_ready()
            if not has_thread(service, thread):
                service.kill()
                shutil.rmtree(data_dir)
                continue
        tried += 1
        with traced(service.child, *options, thread=thread):
            if thread is None:
                service.child.go()
            if script(service):
                service.stop()
        killed += service.until_ended() == -9
        assert service.until_ended() in (0, -9), where
        again = serve(data_dir)
        assert script(again), f"{where}: {again.log}"
        assert again.stop() == 0, where
        assert digest_of(data_dir) == expected, where
        found = verify(data_dir / "models" / "default", silent)
        assert found.faults == [], where
        shutil.rmtree(data_dir)
    return killed, tried


@needs_strace
def test_writes(serve: Start, memory_path: Path) -> None:
    killed, tried = kill_at_writes(serve, memory_path, 4, threads=1)
    assert killed > tried / 2


@needs_strace
@pytest.mark.soak
def test_every_write(serve: Start, memory_path: Path, figure: Figure) -> None:
    killed, tried = kill_at_writes(serve, memory_path, 10**6, threads=10**3)
    figure(
        "`kill -9` of a service at each system call that writes, of each thread; the same keys again",
        "every point recovers, to the bits of an uninterrupted run",
        f"{tried} points, of which {killed} killed: every one recovered",
    )
    assert killed > tried / 2 > 100
