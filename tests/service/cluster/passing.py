"""Nodes whose role a test sets, each with models of its own: what passes between two is as in a cluster."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from nonzero_service import logs
from nonzero_service.cluster.handshake import PROTOCOL
from nonzero_service.cluster.node_listener import NodeListener
from nonzero_service.cluster.passing_on import PassingOn
from nonzero_service.cluster.roles import Leader, Role
from nonzero_service.server import Writer
from nonzero_service.settings import Settings
from nonzero_service.workers.forward_server import ForwardServer
from service.conftest import ServiceProcess
from waiting import until

__all__ = ["SettableNode", "serve_node"]

PROGRAM = """
import json, os, sys
from pathlib import Path
from service.cluster.passing import serve_node
from nonzero_service.cluster import handshake
handshake.PROTOCOL = int(os.environ["PROTOCOL"])
serve_node(json.loads(sys.argv[1]), Path(os.environ["ROLE_FILE"]))
"""


class RoleFile:
    """What a node is at, as a file says it: a test writes that, and the node looks at it all the time."""

    def __init__(self, path: Path) -> None:
        self.role: Role = "following"
        self.leader: Leader | None = None
        self.path = path
        self._listeners: list[Callable[[], object]] = []
        self._said = ""

    def on_change(self, listener: Callable[[], object]) -> None:
        self._listeners.append(listener)

    async def look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(0.01)

    def _look(self) -> None:
        with suppress(FileNotFoundError):
            said = self.path.read_text()
            if said != self._said:
                found = json.loads(said)
                self.role, leader = found["role"], found["leader"]
                self.leader = leader and Leader(**leader | {"secret": bytes.fromhex(leader["secret"])})
                for listener in self._listeners:
                    listener()
                self._said = said
                self.path.with_suffix(".seen").write_text(said)


class NodeServer(Writer):
    """A service of its own that takes the role it is told."""

    def __init__(self, settings: Settings, roles: RoleFile) -> None:
        super().__init__(settings)
        self.roles = roles
        service = self.app.service

        def writes() -> bool:
            return roles.role == "writing" and not self.should_exit

        self.forwarded = ForwardServer(
            self.app, service.models, service.bodies, self.server_state.tasks, settings, writes
        )
        durable = settings.impressions == "durable"
        self.passing = PassingOn(service.models, service.metrics, self.forwarded, durable=durable)
        self.listener = NodeListener(
            self.forwarded, lambda: roles.leader.secret if writes() and roles.leader else None
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        address = self.listener.listen(self.settings.node_address)
        self.listener.begin()
        self.app.share(self.roles, self.passing)
        self._looking = asyncio.create_task(self.roles.look_on())
        self.roles.path.with_suffix(".address").write_text(address)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._looking.cancel()
        await self.listener.close()


def serve_node(flags: dict[str, Any], path: Path) -> None:
    """Serve until it is told to stop."""
    settings = Settings.load(**flags)
    logs.configure(settings.log_level, settings.log_format)
    server = NodeServer(settings, RoleFile(path))
    server.config.load()
    server.run(server.pool.listen())
    logs.flush()
    raise SystemExit(server.failure is not None)


class SettableNode(ServiceProcess):
    """A process of such a node.

    Parameters
    ----------
    place
        A new directory.
    protocol
        Which one its release speaks.
    settings
        The service's.
    """

    program = PROGRAM

    def __init__(self, place: Path, protocol: int = PROTOCOL, **settings: Any) -> None:
        place.mkdir(exist_ok=True)
        self.name = place.name
        self.path = place / "role"
        self.environment = {"ROLE_FILE": str(self.path), "PROTOCOL": str(protocol)}
        self.secret = secrets.token_bytes(32)
        self.term = 0
        super().__init__(place / "data", **settings)

    def until_ready(self) -> Self:
        super().until_ready()
        self.address = self.path.with_suffix(".address").read_text()
        return self

    def write(self) -> Self:
        """Have it write, in a new term."""
        self.term += 1
        self.secret = secrets.token_bytes(32)
        return self.become("writing", self)

    def follow(self, other: SettableNode | None, *, address: str = "", secret: bytes = b"") -> Self:
        """Have it follow another one; None: nobody."""
        return self.become("following", other, address=address, secret=secret)

    def become(
        self, role: Role, other: SettableNode | None, *, address: str = "", secret: bytes = b""
    ) -> Self:
        leader = other and {
            "node": other.name,
            "term": other.term,
            "address": address or other.address,
            "url": other.url,
            "secret": (secret or other.secret).hex(),
        }
        said, new = json.dumps({"role": role, "leader": leader}), self.path.with_suffix(".new")
        new.write_text(said)
        new.rename(self.path)
        seen = self.path.with_suffix(".seen")
        until(lambda: seen.exists() and seen.read_text() == said)
        return self
