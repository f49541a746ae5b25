"""The status of a cluster, as somebody sees it who is no part of it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any, Final

from nonzero_service.journal.postgres.condition import Condition
from nonzero_service.journal.postgres.overview import ClusterView, ModelEnd, NodeNote

LOOK_SECONDS: Final = 0.1

SILENT_SECONDS: Final = 10.0
"""A node whose note is older does not run, or does not reach the database."""


def status_of(url: str, wait: float) -> dict[str, Any]:
    """Look at a cluster, and return what is there, as JSON has it.

    Parameters
    ----------
    url
        The address of its database.
    wait
        For so many seconds a sign of life of the writer is waited for.

    Raises
    ------
    JournalError
        Where the database does not answer, or holds no cluster.
    """
    with closing(ClusterView(url)) as looking:
        looking.check_there()
        first, end = looking.who_writes(), time.monotonic() + wait
        # Only a change shows that somebody is alive: no clock is compared.
        while (seen := looking.who_writes())[:2] == first[:2] and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        found = looking.look()
    leads = found.seen.node is not None and seen[:2] != first[:2]
    condition = found.condition
    return {
        "leads": leads,
        "leader": {"node": found.seen.node, "url": found.seen.url} if leads else None,
        "term": found.seen.term,
        "on_two_machines": not condition.danger,
        "commits_wait": condition.waits,
        "nodes": [_node(one, found.models) for one in found.nodes],
        "models": {one.name: {"position": one.position, "sequence": one.sequence} for one in found.models},
        "database": _database(condition),
    }


def _node(note: NodeNote, models: list[ModelEnd]) -> dict[str, Any]:
    """Return how a node is: its lag is what the journals hold and it has not read, of all its models."""
    behind = [one.sequence - note.positions.get(one.name, {}).get("sequence", 0) for one in models]
    return {
        "node": note.node,
        "role": note.role,
        "url": note.url,
        "address": note.address,
        "silent": note.age_seconds > SILENT_SECONDS,
        "seen_seconds_ago": round(note.age_seconds, 1),
        "lag_examples": max([0, *behind]),
        "positions": note.positions,
    }


def _database(condition: Condition) -> dict[str, Any]:
    standbys = condition.standbys
    return {
        "primary": condition.host,
        "version": condition.version,
        "synchronous_commit": condition.synchronous_commit,
        "synchronous_standby_names": condition.synchronous_standby_names,
        "fsync": condition.fsync,
        "standbys": None if standbys is None else [one._asdict() for one in standbys],
        "danger": condition.danger or None,
    }
