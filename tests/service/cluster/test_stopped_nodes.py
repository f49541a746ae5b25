"""A node that was stopped past its lease says nothing that another node has made untrue meanwhile."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from nodes import Node, Nodes
from plain_http import client_of
from postgres import Cluster
from service.cluster.clients import PATH
from waiting import until

EXAMPLE = {"features": {"site": "news"}}


class Asked:
    """A request that a node finds when it goes on: the kernel takes it while the node is stopped."""

    def __init__(self, node: Node) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.port))

    def send(self, method: str, path: str, said: Mapping[str, Any] | None = None) -> None:
        body = b"" if said is None else json.dumps(said).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        self._socket.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def status(self) -> int:
        answer = HTTPResponse(self._socket)
        answer.begin()
        self._socket.close()
        return answer.status


def test_what_another_node_has_made_meanwhile_is_there(postgres: Cluster, tmp_path: Path) -> None:
    """It finds what it is asked before it finds that its lease is over."""
    with Nodes(tmp_path, postgres, "ab", bits=8, impressions="durable", lease_seconds=1.0) as nodes:
        stopped = nodes.until_ready().writer()
        [other] = nodes.followers()
        with client_of(stopped.url) as client:  # so that it has a model with impressions
            assert client.post(f"{PATH}/predict", json=EXAMPLE | {"id": "first"}).status_code == 200
        labelled, updated, leader = (Asked(stopped) for _ in range(3))
        stopped.stop_signal()
        try:
            until(other.leader)
            with client_of(other.url) as client:
                assert client.post(f"{PATH}/predict", json=EXAMPLE | {"id": "second"}).status_code == 200
                assert client.put("/v1/models/made", json={"bits": 8}).status_code == 201
            labelled.send("POST", f"{PATH}/labels", {"id": "second", "label": 1})
            updated.send("POST", "/v1/models/made/update", EXAMPLE | {"label": 1})
            leader.send("GET", "/leader")
        finally:
            stopped.cont()
        # 404 is for good: its client would drop what it has.
        assert labelled.status() in (200, 503)
        assert updated.status() in (200, 503)
        assert leader.status() == 503
        with client_of(other.url) as client:
            again = client.post(f"{PATH}/labels", json={"id": "second", "label": 1})
            assert again.status_code in (200, 409), again.text
            unknown = client.post(f"{PATH}/labels", json={"id": "third", "label": 1})
            assert unknown.status_code == 404
            unmade = client.post("/v1/models/never/update", json=EXAMPLE | {"label": 1})
            assert unmade.status_code == 404
