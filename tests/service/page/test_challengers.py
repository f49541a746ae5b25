"""What the page shows of challengers, and that one is promoted by hand."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from service.page.conftest import Watch
from service.page.models import Models
from service.page.test_page import sees
from service.tastes import tastes


def test_a_challenger_is_compared_and_promoted(models: Models, watch: Watch) -> None:
    champion = models.make("champion")
    slow = {"follows": "champion", "learning_rate": 0.001}
    assert models.client.put("/v1/models/slow", json=slow).status_code == 201
    for seed in range(8):
        models.learn("champion", tastes(1_000, seed=seed))
    with watch(models.page("champion"), failing=("404",)) as page:  # of the challenger, once it is gone
        sees(page, "#challengers", re.compile(r"slow is worse than champion: its log loss is \d+ % higher\."))
        sees(
            page, "#challengers", re.compile(r"between \+0\.\d{4} and \+0\.\d{4} nats an example over 8,000")
        )
        sees(page, "#challengers", "over 8,000 examples")
        sees(page, "#challengers", re.compile("Worse for site=s"))
        page.get_by_role("link", name="slow", exact=True).last.click()
        sees(page, "#challengers", "It is a challenger: it learns from the stream of champion.")
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#more")).to_contain_text("Log loss, all examples")
        expect(page.locator("#gone")).to_be_hidden()
        for part in ("#ranges", "#well", "#events"):  # it has a history of its own
            expect(page.locator(part)).to_be_visible()
        page.go_back()
        page.get_by_role("button", name="Promote slow").click()
        page.locator("#ask-no").click()
        assert models.client.get(champion).json()["followers"] == ["slow"]
        page.get_by_role("button", name="Promote slow").click()
        page.locator("#ask-yes").click()
        expect(page.locator("#done")).to_have_text("champion goes on as what slow was.")
        sees(page, "#name", "champion")
        expect(page.locator("#challengers")).to_be_hidden()
    assert models.client.get(champion).json()["settings"]["lanes"][0]["learning_rate"] == 0.001
