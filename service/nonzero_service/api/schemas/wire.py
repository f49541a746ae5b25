"""What all wire types have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["learning", "converged", "starved", "idle", "unknown"]


class Wire(BaseModel):
    """Exactly the members that are named."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class LeaderWire(Wire):
    """The node that learns."""

    node: str | None
    """Its name; null of a service that is alone."""
    term: int | None
    url: str | None
    """Where clients reach it."""


class Health(Wire):
    """How the service is."""

    status: Literal["ok", "ready"]
