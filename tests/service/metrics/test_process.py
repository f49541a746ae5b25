"""The process's metrics against those of Prometheus' own collector."""

import pytest
from prometheus_client import ProcessCollector

from nonzero_service.metrics.process import Process


def test_they_are_those_of_the_library() -> None:
    ours, theirs = (
        {metric.name: metric for metric in collector.collect()}
        for collector in (Process(), ProcessCollector(registry=None))
    )
    if not theirs:
        pytest.skip("there is no /proc")
    assert {name: one.type for name, one in ours.items()} == {name: one.type for name, one in theirs.items()}
    for name, one in ours.items():
        [sample], [other] = one.samples, theirs[name].samples
        assert sample.name == other.name
        assert sample.value == pytest.approx(other.value, rel=0.2, abs=2)
