"""What must hold of a cluster in the end, whatever befell it: I1 to I6 over all nodes, one writer a term."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import httpx

from checking import Final, check, write_history
from nodes import Node, Nodes
from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from plain_http import client_of
from service.cluster.clients import PATH, Clients, weight_of
from service.cluster.shared_impressions import check_impressions
from service.cluster.shared_rows import SharedRows
from waiting import until

OF_DATABASES = {"JournalUnreachableError", "OutcomeUnknownError", "Problem", "StorageError"}
"""What may become of a request when its database is lost; or its writer, whose answer is a problem."""


def check_outcome(nodes: Nodes, clients: Clients, history: Path, *, negatives: str) -> None:
    """Check what is there when all clients have ended; it ends the nodes.

    Parameters
    ----------
    nodes
        All of them are ready.
    clients
        All have ended.
    history
        Where what they saw is written, to be looked at.
    negatives
        When the model learns from predictions with an id.
    """
    operations = clients.operations
    write_history(history, operations)
    finals = until_together(nodes)
    weights = {client.number: weight_of(client.number) for client in clients.all}
    found = check(
        operations,
        finals,
        weights=weights if negatives == "at_end" else None,
        impressions_teach=negatives == "at_once",
    )
    assert not found, found[:5]
    rows = SharedRows(nodes.database)
    try:
        check_keys(rows, clients)
        check_impressions(rows.read(), operations)
        terms = rows.terms()
        assert all(before <= term for before, term in pairwise(terms))
        writer, followers = nodes.writer(), nodes.followers()
        with client_of(writer.url) as client:
            client.post(f"{PATH}/snapshots").raise_for_status()
        kept = {node: kept_by(node) for node in [*followers, writer]}
        folded = rows.fold({position for position, _ in kept.values()})
    finally:
        rows.close()
    for node, (position, digest) in kept.items():  # I3
        assert digest == folded[position].digest, node
    newest = folded[max(folded)]
    assert newest.sequence == finals[0].sequence
    check_logs(nodes)


def check_logs(nodes: Nodes) -> None:
    """Check that nothing failed but for what was done to the database."""
    for node in nodes:
        for life in node.lives:
            assert not [line for line in life.log if line.get("level") == "critical"]
            for line in life.lines("the service failed"):
                assert line["exception"][0]["exc_type"] in OF_DATABASES, line


def until_together(nodes: Nodes) -> list[Final]:
    """Wait until all nodes know the same; return what each says."""

    def found() -> list[Final] | None:
        try:
            finals = [final_of(node) for node in nodes]
        except (httpx.HTTPError, KeyError):
            return None
        return finals if len({final.sequence for final in finals}) == 1 else None

    finals = until(found)
    assert finals is not None
    return finals


def final_of(node: Node) -> Final:
    """Return what a node says that it has learned."""
    with client_of(node.url) as client:
        said = client.get(f"{PATH}/metrics").raise_for_status().json()
    return Final(node.name, said["sequence"], said["examples"], said["weight"])


def check_keys(rows: SharedRows, clients: Clients) -> None:
    """Check that all that was acknowledged is among the rows, as it was answered (I1)."""
    records = rows.keys()
    for client in clients.all:
        for one in client.operations:
            if one.kind == "update" and one.is_answered:
                record = records[one.key]
                assert record.complete, one
                assert (record.rows, record.answer["sequence"]) == (one.examples, one.sequence), one


def kept_by(node: Node) -> tuple[int, str]:
    """Tell a node to stop; return the position and the digest of the model that it has saved last."""
    assert node.process.stop() == 0, node.process.log[-5:]
    newest = snapshots_in(node.data_dir / "models" / "default" / "snapshots")[0]
    return newest.position, LogisticRegression.load(newest.path).digest()
