"""A model of the cluster, as one node has it."""

from __future__ import annotations

from dataclasses import dataclass

from nonzero_service.cluster.sharing import SnapshotSharing
from nonzero_service.journal.postgres.catalogue import CatalogueModel
from nonzero_service.models.replica import Folded
from nonzero_service.models.served import ServedModel


@dataclass(eq=False)
class Member:
    """A model of the cluster, as this node has it."""

    model: CatalogueModel
    served: ServedModel | None = None
    """What is read; it may be closed already, where the next one is being opened."""
    term: int | None = None
    """Under which it is written here; None where it follows."""
    hand: Folded | None = None
    """What it goes on from."""
    is_open: bool = False
    """Whether it is open in the role that this node has."""
    sharing: SnapshotSharing | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name
