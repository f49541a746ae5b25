"""Each alert of several nodes fires when real ones were brought into that state.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from deploy.promtool import fires, needs_promtool
from deploy.scrapes import Scrapes
from nodes import Node, Nodes
from nonzero_service.journal.postgres.leadership import Leadership
from plain_http import client_of
from postgres import Cluster
from service.series import series
from waiting import until

pytestmark = needs_promtool

Running = Callable[[str], tuple[Nodes, Callable[[Node], Scrapes]]]


@pytest.fixture
def running(postgres: Cluster, tmp_path: Path) -> Iterator[Running]:
    """Run nodes, and scrape one of them."""
    with ExitStack() as stack:

        def run(names: str) -> tuple[Nodes, Callable[[Node], Scrapes]]:
            nodes = Nodes(tmp_path, postgres, names, lease_seconds=3, bits=10)
            stack.enter_context(nodes).until_ready()
            return nodes, lambda node: Scrapes(stack.enter_context(client_of(node.url)))

        yield run


def test_no_writer_and_one_machine(running: Running) -> None:
    """The database has no standby; then the only node does not reach it any more."""
    nodes, scraped = running("a")
    seen = scraped(nodes[0])
    until(lambda: "nonzero_synchronous_standbys" in seen.client.get("/metrics").text)
    fires(
        seen.take(10), {"NonzeroOnOneMachine": r"^ctr:8000 writes to a database with 0 synchronous standbys"}
    )
    nodes[0].link.cut()
    until(lambda: not series(seen.client, "nonzero_leader_info"))
    fires(
        seen.take(5),
        {"NonzeroNoWriter": r"^No node of nonzero writes; 1 of them answer"},
        ended=["NonzeroOnOneMachine"],
    )


def test_terms_that_change(running: Running) -> None:
    """Another node takes over and stops, again and again."""
    nodes, scraped = running("a")
    seen = scraped(nodes[0]).take()
    with closing(Leadership(nodes.database, "b")) as other:
        for _ in range(3):
            until(nodes[0].leader)
            until(lambda: (term := other.take(other.observe(), "", "", b"b")) and other.give_back(term))
            until(lambda: not nodes[0].leader())
    until(nodes[0].leader)
    fires(seen.take(4), {"NonzeroTermsChange": r"^ctr:8000 saw \d+ terms begin within an hour"})


def test_a_node_that_lags(running: Running) -> None:
    nodes, scraped = running("ab")
    [follower] = nodes.followers()
    seen = scraped(follower)
    until(lambda: series(seen.client, "nonzero_leader_info"))
    # A node of a new cluster is ready before it has heard of the first model.
    until(lambda: "nonzero_replica_lag_seconds{" in seen.client.get("/metrics").text)
    seen.take(5)
    follower.link.stall()
    until(
        lambda: series(seen.client, "nonzero_replica_lag_seconds") > 5,
        lambda: (follower, [node.process.log[-20:] for node in nodes]),
    )
    fires(
        seen.take(10),
        {
            "NonzeroReplicaLags": r"^Model default on ctr:8000 is [\d.]+s behind the node",
            # The only node that is asked here hears of none that writes.
            "NonzeroNoWriter": r"^No node of nonzero writes; 1 of them answer",
        },
    )
    follower.link.heal()
