"""What the page shows of challengers, and that one is promoted by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from playwright.sync_api import expect

from service.conftest import Start
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


def test_a_model_whose_challenger_learns_no_more(start: Start, watch: Watch, tmp_path: Path) -> None:
    service = start(tmp_path / "data", bits=10).until_ready()
    with service.client() as client:
        models = Models(service.url, client)
        assert client.put("/v1/models/lost", json={"follows": "default"}).status_code == 201
        for seed in range(3):
            models.learn("default", tastes(1_000, seed=seed))
            for name in ("default", "lost"):
                assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
    assert service.kill() == -9
    shutil.rmtree(tmp_path / "data/models/lost/snapshots")  # and the rows that it would be made of are gone
    service = start(tmp_path / "data", bits=10).until_ready()
    with watch(f"{service.url}/#model=default", failing=("409",)) as page:
        with page.expect_response(re.compile("comparison")) as refused:
            page.reload()
        assert refused.value.status == 409
        page.wait_for_timeout(500)  # it looks again after two seconds
        assert page.locator("#connection").inner_text() == "Live"
        assert page.locator("#gone").is_hidden()
