"""Steady traffic raises no alert, nor does a start.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

from deploy.prometheus.conftest import Scrape
from deploy.promtool import alerting_rules, fires, needs_promtool, series_named
from deploy.scrapes import Scrapes
from deploy.traffic import Traffic
from service.conftest import Start

pytestmark = needs_promtool


def unscraped(scrapes: Scrapes) -> set[str]:
    """Return the alerts' series that were not scraped."""
    return series_named(" ".join(rule["expr"] for rule in alerting_rules().values())) - scrapes.names()


def test_steady_traffic_raises_none(serve: Start, scrapes: Scrape) -> None:
    """An hour of it, and six of a sixth of it; not even one that would fire if it went on."""
    service = serve(slices="site", breaker="on", workers=2).until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    traffic.teach()
    for n in range(30):
        traffic.step()
        if n == 15:
            traffic.until_told(seen.client)
        seen.take(2)
    assert service.stop() == 0
    fires(seen, {}, state=".*")
    fires(seen.slower(6), {}, state=".*")
    assert unscraped(seen) == {
        "nonzero_rejected_lines_total",
        "nonzero_schema_conflicts_total",
        "nonzero_schema_unseen",
    }


def test_a_start_raises_none(serve: Start, scrapes: Scrape) -> None:
    """Counters begin anew with the process; and after a kill, by which no snapshot was taken."""
    seen = None
    for _ in range(2):
        service = serve(slices="site").until_ready()
        seen = scrapes(service) if seen is None else seen.of(scrapes(service).client)
        traffic = Traffic(service)
        traffic.teach()
        for _ in range(10):
            traffic.step()
            seen.take(3)
        service.kill()
    assert seen is not None
    fires(seen, {}, state=".*")
