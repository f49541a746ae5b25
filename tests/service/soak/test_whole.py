"""The whole for an hour: a topic in, two nodes over PostgreSQL, a page open, a challenger; a fault a minute.

Challengers are refused by nodes. So a service of its own, which learns from the same topic, has one.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser

from kafka import Broker, kafka
from nodes import Node, Nodes
from nonzero import AdaGrad, LogisticRegression
from plain_http import client_of
from postgres import Cluster
from reporting import Figure
from service.cluster.outcome import kept_by
from service.cluster.shared_rows import SharedRows
from service.page.conftest import browser as browser
from service.streams.faults import Fed, service_killed
from service.streams.sending import POISON, Producers
from topic_books import Books, Held, held_in, learned_of, local_rows, shared_rows
from waiting import until

FAULT_SECONDS = 60.0
RATE = 250
"""Messages a second of each of two producers: an hour has fewer than there are slots."""

POISONED = 97
"""One of so many messages cannot be read."""

BITS = 21

SETTINGS: Mapping[str, Any] = {"bits": BITS, "breaker": "on", "journal_retention": "all"}

CHALLENGER: Mapping[str, Any] = {"follows": "default", "learning_rate": 0.3}


class Whole(NamedTuple):
    """All that runs."""

    broker: Broker
    servers: Cluster
    nodes: Nodes
    alone: Fed


Fault = Callable[[Whole], AbstractContextManager[None]]


@contextmanager
def broker_killed(whole: Whole) -> Iterator[None]:
    whole.broker.kill()
    yield
    whole.broker.start()


@contextmanager
def broker_hangs(whole: Whole) -> Iterator[None]:
    whole.broker.stop_signal()
    yield
    whole.broker.cont()


@contextmanager
def writer_killed(whole: Whole) -> Iterator[None]:
    node = whole.nodes.writer()
    node.kill()
    yield
    node.start()


@contextmanager
def writer_hangs(whole: Whole) -> Iterator[None]:
    node = whole.nodes.writer()
    node.stop_signal()
    yield
    node.cont()


@contextmanager
def writer_cut_off(whole: Whole) -> Iterator[None]:
    node = whole.nodes.writer()
    node.link.cut()
    yield
    node.link.heal()


@contextmanager
def follower_killed(whole: Whole) -> Iterator[None]:
    [node] = whole.nodes.followers()
    node.kill()
    yield
    node.start()


@contextmanager
def database_fails_over(whole: Whole) -> Iterator[None]:
    whole.servers.fail_over()
    yield
    whole.servers.rejoin()


@contextmanager
def standby_lost(whole: Whole) -> Iterator[None]:
    whole.servers.standby.kill()
    yield
    whole.servers.rejoin()


@contextmanager
def alone_killed(whole: Whole) -> Iterator[None]:
    with service_killed(whole.alone):
        yield


FAULTS: Mapping[str, Fault] = {
    "the broker is killed": broker_killed,
    "the writer is killed": writer_killed,
    "the database fails over": database_fails_over,
    "the service alone is killed": alone_killed,
    "the broker hangs": broker_hangs,
    "the writer hangs": writer_hangs,
    "a follower is killed": follower_killed,
    "the writer is cut off from the database": writer_cut_off,
    "the standby is lost": standby_lost,
}
LASTS_SECONDS = 3.0


def sequence_of(node: Node) -> int:
    """Return how many examples a node has learned from; -1 where it does not say."""
    try:
        with client_of(node.url, timeout=2.0) as client:
            return int(client.get("/v1/models/default").raise_for_status().json()["sequence"])
    except httpx.HTTPError:
        return -1


def source_of(url: str) -> object:
    """Return what a service says of what it reads, or why it does not."""
    try:
        with client_of(url, timeout=2.0) as client:
            model = client.get("/v1/models/default").json()
            return model["learning"], client.get("/v1/models/default/source").json()
    except httpx.HTTPError as error:
        return repr(error)


def until_learning(whole: Whole) -> None:
    """Wait until all nodes, and the service alone, have learned more than they had."""
    whole.nodes.until_ready()
    urls = [*(node.url for node in whole.nodes), f"http://127.0.0.1:{whole.alone.process.port}"]
    for learned in (*((lambda node=node: sequence_of(node)) for node in whole.nodes), whole.alone.learned):
        begun = until(lambda learned=learned: learned() + 1)  # type: ignore[misc]
        until(lambda learned=learned, begun=begun: learned() >= begun, lambda: [*map(source_of, urls)])  # type: ignore[misc]


def check(books: Books, held: Held) -> tuple[str, int, int]:
    """Check what a journal says of a topic; return the digest that must be there, examples, and refused."""
    taken = books.taken(held)
    ends = {where: max(partition, default=-1) + 1 for where, partition in held.items()}
    read = books.positions()
    assert all(read.get(where, 0) >= end for where, end in ends.items())
    good = [value for value in taken if value != POISON]
    examples, refused = (sum(getattr(run, what) for run in books.runs) for what in ("examples", "refused"))
    assert (examples, refused) == (len(good), len(taken) - len(good))
    assert len(taken) == sum(map(len, held.values()))
    assert books.times_learned(1 << BITS).max() == 1
    return learned_of(books.settings, good), examples, refused


def digest_of_challenger(alone: Fed, place: Path) -> str:
    """Return the digest of the challenger's model, saved now."""
    with alone.process.client() as client:
        client.post("/v1/models/b/snapshots").raise_for_status()
        place.write_bytes(client.get("/v1/models/b/snapshots/latest").raise_for_status().content)
    return LogisticRegression.load(place).digest()


@pytest.mark.soak
def test_the_whole(
    breakable: Cluster, browser: Browser, tmp_path: Path, pytestconfig: pytest.Config, figure: Figure
) -> None:
    total = pytestconfig.getoption("--soak-seconds")
    names, chance, done = itertools.cycle(FAULTS), random.Random(1), Counter[str]()
    complaints: list[str] = []
    with kafka() as broker, ExitStack() as ending:
        topic = broker.topic(partitions=3)
        source = f"kafka://{broker.address}/{topic}"
        alone = ending.enter_context(closing(Fed(tmp_path / "alone", broker, topic, **SETTINGS)))
        with alone.process.client() as client:
            client.put("/v1/models/b", json=CHALLENGER).raise_for_status()
        with Nodes(tmp_path, breakable, "xy", source=source, **SETTINGS) as nodes:
            whole = Whole(broker, breakable, nodes.until_ready(), alone)
            page = browser.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(nodes[0].url)
            end = time.monotonic() + total
            with Producers(broker, topic, 3, RATE, POISONED) as producers:
                until_learning(whole)
                while (due := time.monotonic() + FAULT_SECONDS) < end + FAULT_SECONDS:
                    name = next(names)
                    with FAULTS[name](whole):
                        page.wait_for_timeout(1000 * LASTS_SECONDS)
                    until_learning(whole)
                    done[name] += 1
                    left = min(due, end) - time.monotonic() - chance.random()
                    page.wait_for_timeout(1000 * max(left, 0.1))  # the page goes on
                aborted = producers.aborted
            held = held_in(broker.address, topic)
            messages = sum(map(len, held.values()))
            bad = sum(value == POISON for partition in held.values() for value in partition.values())
            for learned in (*((lambda node=node: sequence_of(node)) for node in nodes), alone.learned):
                until(lambda learned=learned: learned() == messages - bad)  # type: ignore[misc]
            page.reload()
            assert page.inner_text("body").strip()
            page.close()
            rows = SharedRows(nodes.database)
            books = Books.of(shared_rows(nodes.database))
            digest, examples, refused = check(books, held)
            writer, followers = nodes.writer(), nodes.followers()
            with client_of(writer.url) as client:
                client.post("/v1/models/default/snapshots").raise_for_status()
            kept = {node: kept_by(node) for node in [*followers, writer]}
            folded = rows.fold({position for position, _ in kept.values()})
            rows.close()
        until(lambda: alone.learned("b") == examples)
        challenger = digest_of_challenger(alone, tmp_path / "challenger")
        alone.check_books(1 << BITS, POISON)
    own = Books.of(local_rows(alone.data_dir / "models/default"))
    model = LogisticRegression(BITS, AdaGrad(CHALLENGER["learning_rate"]))
    for batch in own.batches:
        model.learn(batch)
    for node, (position, found) in kept.items():
        assert found == folded[position].digest, node
    assert folded[max(folded)].digest == digest
    of_aborted = f"{aborted:,} of aborted transactions were not read"
    figure(
        f"{total:.0f} s of the whole: Kafka in, two nodes over PostgreSQL and its standby, a page open in "
        f"Chromium, a service alone with a challenger; a fault every {FAULT_SECONDS:.0f} s",
        "the messages of the topic are what was learned and what was refused; equal digests, to the bit",
        f"{sum(done.values())} faults of {len(done)} kinds; {messages:,} messages: {examples:,} learned, "
        f"{refused:,} refused, none twice, none lost ({of_aborted}); the "
        "nodes, the fold of their rows, and the messages learned in the journal's order are equal; so are "
        "the challenger and what learns its champion's rows",
    )
    assert challenger == model.digest()
    assert not complaints
