"""``GET /leader``: whether this node writes, and who does. Proxies find the writer by it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from nonzero_service.bodies.answers import send_json
from nonzero_service.problems import RETRY, Problem
from nonzero_service.service import Service


class LeaderProbe:
    """Answers 200 where this node learns, as a service with a journal of its own does; else 503."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request.

        Raises
        ------
        Problem
            503 where another node writes, which is named, or nobody does.
        NotReadyError
            While the models of a service with a journal of its own are being opened.
        """
        node = self.service.node
        if node is None:
            self.service.models.check_ready()
            await send_json(send, msgspec.json.encode({"node": None, "term": None, "url": None}))
            return
        membership = node.membership
        over = membership.is_over
        leader = None if over else membership.heard
        said: dict[str, Any] | None = None
        if leader is not None:
            said = {"node": leader.node, "term": leader.term, "url": leader.url}
        if membership.role == "writing" and not over:
            await send_json(send, msgspec.json.encode(said))
            return
        who = f"{leader.node} does, at {leader.url}" if leader is not None else "no node does"
        state = "its lease is over" if over else f"it is {membership.role}"
        raise Problem(
            503,
            f"this node, {membership.node}, does not write just now ({state}); {who}",
            headers=RETRY,
            leader=said,
        )
