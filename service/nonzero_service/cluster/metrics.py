"""What is told of the cluster: who writes, since when, and what the database would lose."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from nonzero_service.cluster.membership import Membership
from nonzero_service.cluster.noting import Noting
from nonzero_service.cluster.roles import ROLES
from nonzero_service.metrics.families import family


def cluster_metrics(membership: Membership, noting: Noting) -> Iterator[Metric]:
    """Yield what one node tells of its cluster."""
    text = "The newest term that this node knows of: each writer has its own."
    terms = [((), float(membership.term))] if membership.term else []  # it has not looked yet
    yield family(GaugeMetricFamily, "nonzero_term", text, (), terms)
    roles = (((role,), float(role == membership.role)) for role in ROLES)
    yield family(GaugeMetricFamily, "nonzero_role", "1 for what this node is at.", ("role",), roles)
    leader = membership.heard
    leads = [] if leader is None else [((leader.node,), 1.0)]
    text = "1 for the node that writes, as this node sees it; nothing where none does."
    yield family(GaugeMetricFamily, "nonzero_leader_info", text, ("node",), leads)
    text = "Seconds since the writer's last sign of life that this node knows of."
    yield family(GaugeMetricFamily, "nonzero_lease_age_seconds", text, (), [((), membership.lease_age)])
    text = "How often this node has begun to write."
    yield CounterMetricFamily("nonzero_takeovers", text, membership.takeovers)
    condition = noting.condition
    if condition is not None:
        text = "Standbys that have an update when it is acknowledged, as the node that writes sees them."
        yield family(
            GaugeMetricFamily, "nonzero_synchronous_standbys", text, (), [((), condition.lasting_standbys)]
        )
