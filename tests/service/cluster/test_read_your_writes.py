"""Whatever node a client asks, it reads what it has written, and labels what it was told."""

from __future__ import annotations

from pathlib import Path

from nodes import Nodes
from plain_http import client_of
from postgres import Cluster

MODEL = "/v1/models/default"


def test_a_client_may_ask_any_node_for_anything(tmp_path: Path, postgres: Cluster) -> None:
    with Nodes(tmp_path, postgres, "ab", bits=8, breaker="off") as nodes:
        nodes.until_ready()
        clients = [client_of(node.url) for node in nodes]
        for n in range(20):
            one, other = clients[n % 2], clients[(n + 1) % 2]
            example = {"features": {"site": f"s{n % 3}"}}
            learned = one.post(f"{MODEL}/update", json=example | {"label": n % 2})
            assert learned.status_code == 200, learned.text
            sequence = learned.json()["sequence"]
            told = []
            for client in (other, one):
                headers = {"nonzero-min-sequence": str(sequence)}
                predicted = client.post(f"{MODEL}/predict", json=example, headers=headers)
                assert predicted.status_code == 200, predicted.text
                assert predicted.json()["sequence"] == sequence
                told.append(predicted.content)
            assert told[0] == told[1]
            assert one.post(f"{MODEL}/predict", json=example | {"id": f"imp-{n}"}).status_code == 200
            labelled = one.post(f"{MODEL}/labels", json={"id": f"imp-{n}", "label": 1})
            assert labelled.status_code == 200, labelled.text
        for client in clients:
            client.close()
