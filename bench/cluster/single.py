"""Updates of one example where the journal is in PostgreSQL, beside one in SQLite."""

from __future__ import annotations

import argparse
import http.client
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.cluster.following import answers_of, ms, updating
from bench.cluster.servers import DEFAULT, UNDISTURBED, Figure, node
from bench.running import Server, serving
from bench.workloads import ClickLog

from postgres import postgresql

UPDATES = 100


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield waits by one connection and by 64, by turns."""
    log = ClickLog(50_000)
    bodies = log.bodies(UPDATES)
    with postgresql(standby=True, on_disk=True) as servers, ExitStack() as held:
        base = {name: servers.database() for name in ("no standby", "`on`", "`remote_apply`")}
        base["`on`"] += "?options=-c%20synchronous_commit%3Don"
        sides = {"SQLite": held.enter_context(serving(**UNDISTURBED))}
        for name, database in base.items():
            sides[f"PostgreSQL, {name}"] = held.enter_context(node(database, "a", **UNDISTURBED))
        waits: dict[tuple[str, int], list[float]] = {(name, n): [] for name in sides for n in (1, 64)}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for run in range(chosen.runs + 1):
            for name, server in sides.items():
                standbys = "" if "no standby" in name else servers.standby.name
                servers.primary.configure(synchronous_standby_names=standbys)
                found = one_by_one(server, bodies)
                with updating(server, log.ndjson, (1, 0, 64), 2.0) as process:
                    answered = answers_of(process)
                if run:
                    waits[name, 1] += found
                    waits[name, 64] += [answer - sent for sent, answer, _ in answered]
                    rates[name].append(len(answered) / 2.0)
        for name in sides:
            yield Figure(
                f"an update of one example, {name}",
                f"one connection: p50 {ms(waits[name, 1], 50, 1)}, p99 {ms(waits[name, 1], 99, 1)}; 64: "
                f"p50 {ms(waits[name, 64], 50)}, p99 {ms(waits[name, 64], 99)}, "
                f"{sorted(rates[name])[len(rates[name]) // 2]:,.0f} a second",
            )


def one_by_one(server: Server, bodies: list[bytes]) -> list[float]:
    """Return how long each update takes, one after another."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    waits = []
    for body in bodies:
        begun = time.perf_counter()
        connection.request("POST", f"{DEFAULT}/update", body, {"content-type": "application/json"})
        with connection.getresponse() as answer:
            content = answer.read()
            if answer.status != 200:
                raise ConnectionError(content.decode())
        waits.append(time.perf_counter() - begun)
    connection.close()
    return waits
