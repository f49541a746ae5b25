"""A sink of log lines never keeps anybody waiting, and counts what is lost."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from nonzero_service.logs.sink import MOST_BYTES, MOST_LINES, Sink
from waiting import SECONDS

LINE = b"x" * 99 + b"\n"


class Pipe:
    """A sink that writes to a pipe."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.room = fcntl.fcntl(self.writing, fcntl.F_GETPIPE_SZ)
        self.sink = Sink(self.writing)

    def read_all(self) -> bytes:
        """Read until all that the sink took is written."""
        found = b""
        os.set_blocking(self.reading, False)
        while True:
            done = self.sink.flush(0)
            with suppress(BlockingIOError):
                while data := os.read(self.reading, 1 << 16):
                    found += data
            if done:
                return found

    def close_reader(self) -> None:
        os.close(self.reading)
        self.reading = -1

    def close(self) -> None:
        if self.reading >= 0:
            self.read_all()
            os.close(self.reading)
        os.close(self.writing)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_of_every_thread_come_in_their_order(pipe: Pipe) -> None:
    def log(number: int) -> None:
        for n in range(500):
            pipe.sink.put(b"%d %d\n" % (number, n))

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [tuple(map(int, line.split())) for line in pipe.read_all().splitlines()]
    for number in range(4):
        assert [n for who, n in lines if who == number] == [*range(500)]
    assert pipe.sink.dropped == 0


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(pipe: Pipe) -> None:
    count = 3 * MOST_BYTES // len(LINE)

    def log() -> None:
        for _ in range(count):
            pipe.sink.put(LINE)
        assert not pipe.sink.flush(0.1)

    with ThreadPoolExecutor() as threads:
        threads.submit(log).result(SECONDS)  # it would be kept waiting for ever
    lost = pipe.sink.dropped
    assert lost >= count - 2 * MOST_LINES - pipe.room // len(LINE)
    pipe.sink.put(b"dropped\n")
    lines = pipe.read_all().splitlines()  # it is said as soon as somebody reads again
    said = [int(line.split()[0]) for line in lines if line.endswith(b" log lines were lost")]
    assert sum(said) == lost + 1
    assert len(lines) - len(said) + lost == count
    pipe.sink.put(b"again\n")
    assert pipe.read_all() == b"again\n"


def test_a_reader_that_has_gone_costs_what_is_written_meanwhile(pipe: Pipe) -> None:
    pipe.close_reader()
    for _ in range(100):
        pipe.sink.put(LINE)
        assert pipe.sink.flush(5)
    assert pipe.sink.dropped == 100


def test_a_full_disk_costs_what_is_written_meanwhile_and_leaves_no_torn_line(small_disk: Path) -> None:
    filling, log = small_disk / "filling", small_disk / "log"
    sink = Sink(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    sink.put(b"before\n")
    assert sink.flush(5)
    with filling.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    for _ in range(200):
        sink.put(LINE)
        assert sink.flush(5)
    lost = sink.dropped
    assert 100 < lost < 200  # the log's last page had room
    filling.unlink()
    sink.put(b"after\n")
    assert sink.flush(5)
    lines = log.read_bytes().splitlines()
    assert (lines[0], lines[-2:]) == (b"before", [b"%d log lines were lost" % lost, b"after"])
    whole = [line for line in lines if line == LINE.strip()]
    assert len(whole) == 200 - lost
    assert len(lines) <= len(whole) + 4  # at most one was torn


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    for _ in range(5_000):
        pipe.sink.put(LINE)
    assert pipe.read_all() == LINE * 5_000


def test_a_forked_child_logs_what_is_its_own(pipe: Pipe) -> None:
    pipe.sink.put(b"parent\n")
    assert pipe.sink.flush(5)
    if not (child := os.fork()):
        pipe.sink.put(b"child\n")
        os._exit(0 if pipe.sink.flush(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert pipe.read_all() == b"parent\nchild\n"


def test_a_signal_in_the_middle_of_a_line_may_log_too(pipe: Pipe) -> None:
    handled = 0

    def log(*_: object) -> None:
        nonlocal handled
        handled += 1
        pipe.sink.put(b"signal\n")

    before = signal.signal(signal.SIGALRM, log)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        count = 0
        while handled <= 100:
            pipe.sink.put(b"line\n")
            count += 1
            if count % 1000 == 0:
                pipe.read_all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert pipe.sink.flush(5) or pipe.read_all()


def test_processes_that_share_a_pipe_do_not_mix_their_lines(pipe: Pipe) -> None:
    children = []
    for number in range(3):
        if not (child := os.fork()):
            for _ in range(2_000):
                pipe.sink.put(b"%d" % number * 500 + b"\n")
            os._exit(0 if pipe.sink.flush(30) else 1)
        children.append(child)
    found = b""
    while found.count(b"\n") < 6_000:
        found += os.read(pipe.reading, 1 << 16)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert all(re.fullmatch(rb"0{500}|1{500}|2{500}", line) for line in found.splitlines())
