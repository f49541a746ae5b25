"""Each alert of the service fires when a real one was brought into that state.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from deploy.prometheus.conftest import Scrape
from deploy.promtool import fires, needs_promtool
from deploy.scrapes import Scrapes
from deploy.traffic import PATH, Traffic, ndjson
from disks import fill
from service.conftest import Start
from service.logs.test_unwritable import LoggingTo
from service.safety.raw import connect
from service.series import series
from service.straced import needs_strace, traced
from service.workers.processes import until_replaced, workers
from service.writer.test_breaker import NDJSON
from waiting import until

pytestmark = needs_promtool


def test_down(serve: Start, scrapes: Scrape) -> None:
    service = serve().until_ready()
    seen = scrapes(service).take(5)
    service.kill()
    fires(seen.take(5), {"NonzeroDown": r"^ctr:8000 does not answer: up is 0\.$"})


@needs_strace
def test_down_for_a_journal_that_cannot_be_written(serve: Start, scrapes: Scrape) -> None:
    """A sync that fails ends the process, and so would each start."""
    service = serve().until_ready()
    seen = scrapes(service).take(5)
    with traced(service.child, "-e", "inject=fdatasync:error=EIO", "-e", "trace=fdatasync"):
        assert seen.client.post(f"{PATH}/update", json={"features": {}, "label": 1}).status_code == 503
        service.until_ended()
    fires(seen.take(5), {"NonzeroDown": "^ctr:8000 does not answer"})


def test_starts_again_and_again(serve: Start) -> None:
    seen = None
    for _ in range(4):
        service = serve().until_ready()
        with service.client() as client:
            seen = Scrapes(client) if seen is None else seen.of(client)
            seen.take(5)
        service.kill()
    assert seen is not None
    fires(seen, {"NonzeroRestarts": r"^ctr:8000 was started 3 times"})


def test_no_space(serve: Start, small_disk: Path, scrapes: Scrape) -> None:
    """Updates are refused, and predictions with ids cannot be kept."""
    service = serve(small_disk / "data").until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    traffic.step()
    seen.take(10)
    fill(small_disk / "ballast")
    example = {"features": {"site": "news"}, "label": 1}
    while seen.client.post(f"{PATH}/update", json=example).status_code == 200:
        pass  # it found room that the journal had already
    for _ in range(3):
        assert seen.client.post(f"{PATH}/update", json=example).status_code == 507
        traffic.predict(seen.client, 20)
        until(lambda: service.lines("impressions cannot be kept"))
        seen.take()
    fires(
        seen,
        {
            "NonzeroDiskFull": r"^ctr:8000 has no space: [\d.]+ requests were answered 507",
            "NonzeroImpressionsLost": r"^Model default on ctr:8000 lost [\d.]+ predictions",
        },
    )


def test_one_refusal_for_want_of_space_is_enough(serve: Start, small_disk: Path, scrapes: Scrape) -> None:
    """Its series begins with it: there is no increase to be seen."""
    service = serve(small_disk / "data").until_ready()
    seen = scrapes(service).take(10)
    fill(small_disk / "ballast")
    assert (
        seen.client.post(
            f"{PATH}/update",
            content=ndjson([{"features": {"a": "b" * 1000}, "label": 1}] * 3000),
            headers=NDJSON,
        ).status_code
        == 507
    )
    fires(seen.take(), {"NonzeroDiskFull": "1 requests"})
    fires(seen.take(15), {}, ended=["NonzeroDiskFull"])


def test_a_failure(serve: Start, scrapes: Scrape, tmp_path: Path) -> None:
    service = serve().until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    traffic.step()
    seen.take(5)
    snapshots = tmp_path / "data" / "models" / "default" / "snapshots"
    snapshots.rmdir()
    snapshots.write_text("in the way")
    assert seen.client.post(f"{PATH}/snapshots").status_code == 500
    fires(seen.take(), {"NonzeroFails": r"^ctr:8000 failed: 1 requests"})


def test_too_much(serve: Start, scrapes: Scrape) -> None:
    service = serve(max_requests=4).until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    for _ in range(5):
        traffic.step()
        seen.take()
    example = {"features": {"site": "news"}, "label": 1}
    head = f"POST {PATH}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
    unfinished = f"{head}content-length: 99\r\n\r\n1 |f a\n".encode()

    def update(_: object = None) -> int:
        return seen.client.post(f"{PATH}/update", json=example).status_code

    with ExitStack() as stack:

        def is_full() -> bool:
            """Hold one more, of whose body the end does not come."""
            stack.enter_context(connect(service.port)).sendall(unfinished)
            return update() == 503

        until(is_full)
        threads = stack.enter_context(ThreadPoolExecutor(12))  # who is refused waits for it
        for _ in range(6):
            assert set(threads.map(update, range(12))) == {503}
            seen.take(2)
    fires(seen, {"NonzeroRefuses": r"^ctr:8000 refuses requests: [\d.]+ in ten minutes"})


def test_strangers(serve: Start, scrapes: Scrape, tmp_path: Path) -> None:
    """And predictions with an id by a token that may not teach."""
    (tmp_path / "tokens").write_text("predict the-token-of-a-friend\n")
    (tmp_path / "tokens").chmod(0o600)
    service = serve(token_file=str(tmp_path / "tokens")).until_ready()
    seen = scrapes(service)
    known = {"authorization": "Bearer the-token-of-a-friend"}
    seen.client.headers.update(known)
    seen.take(5)
    for n in range(12):
        for _ in range(5):
            assert (
                seen.client.get("/v1/models", headers={"authorization": "Bearer another"}).status_code == 401
            )
        seen.client.post(f"{PATH}/predict", json={"features": {}, "id": f"i{n}"}).raise_for_status()
        seen.take()
    fires(
        seen,
        {
            "NonzeroUnauthorized": r"^ctr:8000 turned [\d.]+ requests of 15 minutes away",
            "NonzeroImpressionsRefused": r"^Model default on ctr:8000 did not keep [\d.]+ predictions",
        },
    )


def test_workers_that_end(serve: Start, scrapes: Scrape) -> None:
    """Twice. Until the second is replaced, one is missing."""
    service = serve(workers=2).until_ready()
    seen = scrapes(service).take(5)
    for _ in range(2):
        [pid] = workers(service).values()
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(service.lines("a worker has ended; another takes its place")) > 0)
        seen.take(6)
        until_replaced(service, pid)
    fires(
        seen,
        {
            "NonzeroWorkersMissing": r"^ctr:8000 lacks 1 of its workers",
            "NonzeroWorkersReplaced": r"^ctr:8000 replaced [\d.]+ workers",
        },
    )


def test_a_log_that_nobody_takes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    reading = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    service = LoggingTo(log, tmp_path / "data")
    with service.client() as client:
        seen = Scrapes(client).take(5)
        os.close(reading)
        client.post(f"{PATH}/update", json={"features": {}, "label": 1}).raise_for_status()
        until(lambda: series(client, "nonzero_log_lines_dropped_total"))
        seen.take()
    service.process.kill()
    service.process.wait()
    fires(seen, {"NonzeroLogLinesLost": r"^ctr:8000 lost [\d.]+ lines"})
