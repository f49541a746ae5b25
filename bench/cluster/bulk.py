"""Bulk updates of the node that writes, in bytes of rows a second, beside bare conditional appends."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
from bench.cluster.servers import DEFAULT, UNDISTURBED, Figure, node
from bench.measure import Comparison, compare, cpu_seconds
from bench.postgres import MEGABYTE, Bench
from bench.running import Server
from bench.workloads import ClickLog

from postgres import Cluster, postgresql

AIM = 0.6
LEVELS = {"local": False, "on": True, "remote_write": True, "remote_apply": True}
"""What commits wait for, and whether there is a standby."""


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield a figure for each level and kind of body."""
    log = ClickLog(chosen.examples)
    bodies = {"VW text": (log.vw, "text/x-vw"), "NDJSON": (log.ndjson, "application/x-ndjson")}
    with postgresql(standby=True, on_disk=True) as servers:
        for level, waits in LEVELS.items():
            standbys = servers.standby.name if waits else ""
            servers.primary.configure(synchronous_standby_names=standbys, synchronous_commit=level)
            for name, (file, kind) in bodies.items():
                work = Bulk(servers, level, file, kind, chosen)
                yield work.figure(f"bulk update, {name}, `{level}`, {'a' if waits else 'no'} standby")


class Bulk:
    """Bulk updates over HTTP, and bare appends to another database of the same servers.

    Parameters
    ----------
    servers
        Those of the database.
    level
        What commits wait for.
    file, kind
        The body, and its content type.
    chosen
        How much of all.
    """

    def __init__(
        self, servers: Cluster, level: str, file: Path, kind: str, chosen: argparse.Namespace
    ) -> None:
        self.level, self.file, self.kind, self.chosen = level, file, kind, chosen
        self.database, self.bare = servers.database(), servers.database()
        self.at_primary = servers.primary.url_of(self.database)
        self.examples = 0

    def figure(self, name: str) -> Figure:
        """Compare the two."""
        bench = Bench(self.bare, self.level)
        appending = bench.append_barely(MEGABYTE, self.chosen.appends)
        with node(self.database, "a", **UNDISTURBED) as writer:
            before = cpu_seconds(writer.pid)
            row = Comparison(
                name,
                lambda: self._update(writer),
                "bare",
                lambda: appending() * MEGABYTE / 1e6,
                "MB/s",
                AIM,
            )
            found = compare(row, self.chosen.runs, lambda: None)
            cost = 1e6 * (cpu_seconds(writer.pid) - before) / self.examples
        bench.database.close()
        size = self._bytes() / self.examples
        return Figure(
            name,
            f"{found.ours:.0f} MB/s, {found.ours / size:.2f} M examples/s; bare {found.peer:.0f} MB/s; ratio "
            f"{found.ratio:.2f} ({found.least:.2f} to {found.most:.2f}); {cost:.2f} µs of the node's "
            "processor time an example",
            f"{AIM}",
        )

    def _update(self, writer: Server) -> float:
        """Send the body once; return the megabytes of rows that it made, a second."""
        before = self._bytes()
        command = [sys.executable, "-m", "bench.client", "upload", str(writer.port), str(self.file)]
        options = ["--path", f"{DEFAULT}/update", "--type", self.kind]
        done = subprocess.run([*command, *options], check=True, capture_output=True)
        self.examples += self.chosen.examples
        return float((self._bytes() - before) / json.loads(done.stdout)["seconds"]) / 1e6

    def _bytes(self) -> int:
        with psycopg.connect(self.at_primary) as connection:
            row = connection.execute("SELECT sum(octet_length(body))::bigint FROM nonzero.rows").fetchone()
        return (row and row[0]) or 0
