"""What the page says of a node that follows another, and does there: of real ones, and of lags put in."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from nodes import Node, Nodes
from postgres import Cluster
from service.page.conftest import PHONE, Watch
from service.page.models import Models
from service.page.test_page import look, sees
from service.tastes import tastes
from waiting import SECONDS, until

BEHIND = {"node": "b", "follows": "a", "lag_examples": 0, "lag_seconds": 0.02}


class Told:
    """What the service is made to say of a replica from now on."""

    def __init__(self, page: Page, model: str, replica: dict[str, Any] | None) -> None:
        self._page = page
        self.replica = replica
        self.refusal: str | None = None
        page.route(f"**/v1/models/{model}", self._state)
        page.route(f"**/v1/models/{model}/resume*", self._resume)

    def end(self) -> None:
        """Put nothing in any more, nor in what is under way: the page is closed next."""
        self._page.unroute_all(behavior="wait")

    def _state(self, route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"replica": self.replica})

    def _resume(self, route: Route) -> None:
        if self.refusal is None:
            route.continue_()
        else:
            body = json.dumps({"title": "Service Unavailable", "status": 503, "detail": self.refusal})
            route.fulfill(status=503, content_type="application/problem+json", body=body)


def test_it_says_whom_it_follows_and_how_far_behind(models: Models, watch: Watch) -> None:
    models.learn("followed", tastes(3_000, seed=1))
    with watch("about:blank", width=PHONE) as page:
        told = Told(page, "followed", BEHIND)
        page.goto(models.page("followed"))
        expect(page.locator("#replica")).to_have_text(
            "This is node b. It follows a, less than a second behind."
        )
        for lag, said in (
            (
                {"lag_seconds": 12.4, "lag_examples": 1_234},
                "follows a, 12 seconds behind: 1,234 examples to go.",
            ),
            ({"lag_seconds": 12.4}, "follows a, 12 seconds behind."),
            (
                {"follows": None},
                "No node learns at the moment. Predictions go on with what was learned before.",
            ),
        ):
            told.replica = BEHIND | lag
            sees(page, "#replica", f"This is node b. {'It ' if 'follows a' in said else ''}{said}")
        expect(page.locator("#connection")).to_have_text("Live")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        told.replica = None  # it has taken over
        look(page)
        expect(page.locator("#replica")).to_be_hidden()
        told.end()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("refusal", ["no node writes just now", "the outcome is unknown, because it ended"])
def test_what_it_passes_on_is_done_or_told_of(models: Models, watch: Watch, refusal: str) -> None:
    model = models.paused(f"followed-{refusal[:2]}")
    with watch("about:blank", failing=("503",)) as page:
        told = Told(page, model, BEHIND)
        told.refusal = refusal
        page.goto(models.page(model))
        page.locator("#resume").click()
        page.locator("#ask-yes").click()
        unknown = "It is not known whether this was done" if "unknown" in refusal else "Not done"
        expect(page.locator("#done")).to_have_text(f"{unknown}: {refusal}.")
        told.refusal = None
        page.locator("#resume").click()
        page.locator("#ask-yes").click()
        expect(page.locator("#done")).to_contain_text("Learning goes on.")
        told.end()


def test_a_real_one_passes_on_what_the_page_does_and_takes_over(
    postgres: Cluster, tmp_path: Path, watch: Watch
) -> None:
    with Nodes(tmp_path, postgres, "ab", bits=12, lease_seconds=3) as nodes:
        both = until(lambda: by_role(nodes), lambda: [node.process.log for node in nodes])
        assert both is not None
        writer, follower = both
        with follower.process.client() as client:
            until(lambda: client.put("/v1/models/default", json={}).is_success)  # it reaches the writer
            Models(follower.url, client).paused("default")
        with watch(follower.url) as page:
            said = f"This is node {follower.name}. It follows {writer.name}, less than a second behind."
            sees(page, "#replica", said)
            sees(page, "#paused-held", "held, safe on disk")
            page.locator("#resume").click()
            page.locator("#ask-yes").click()
            expect(page.locator("#done")).to_contain_text("Learning goes on.")
            sees(page, "#events-list", "Goes on")
            writer.kill()
            expect(page.locator("#replica")).to_be_hidden(timeout=1000 * SECONDS)
            expect(page.locator("#connection")).to_have_text("Live")


def by_role(nodes: Nodes) -> tuple[Node, Node] | None:
    """Return who writes, and who follows it; None before both do."""
    found: dict[str | None, Node] = {}
    for node in nodes:
        with suppress(httpx.TransportError, KeyError), node.process.until_listening().client() as client:
            replica = client.get("/v1/models/default").json()["replica"]
            found[None if replica is None else replica["follows"]] = node
    writer = found.get(None)
    return None if writer is None or writer.name not in found else (writer, found[writer.name])
