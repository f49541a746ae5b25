"""What all nodes of a cluster share, as one of them has it."""

from __future__ import annotations

from dataclasses import dataclass

from nonzero_service.cluster.journals import ClusterJournals
from nonzero_service.cluster.tailing import Ends
from nonzero_service.journal.postgres.catalogue import Catalogue
from nonzero_service.journal.postgres.snapshots import SharedSnapshots


@dataclass(frozen=True)
class SharedStores:
    """What all nodes share."""

    journals: ClusterJournals
    ends: Ends
    catalogue: Catalogue
    snapshots: SharedSnapshots
