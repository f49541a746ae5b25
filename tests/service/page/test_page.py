"""What people see of the page, and do with it: with a keyboard, a token, a service that dies."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Request, expect

from service.conftest import Start
from service.page.conftest import PHONE, WIDE, Watch
from service.page.models import HOSTILE, Models
from service.tastes import tastes
from waiting import SECONDS, until

ADMIN, PREDICT = "an-admin-of-the-page", "a-reader-of-the-page"


def look(page: Page) -> None:
    """Have the page look now instead of in two seconds."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def sees(page: Page, selector: str, text: str | re.Pattern[str]) -> None:
    """Wait until the page, which looks five times a second meanwhile, shows a text."""
    expected = text if isinstance(text, re.Pattern) else re.compile(re.escape(text))
    place, begun = page.locator(selector), time.monotonic()
    while time.monotonic() - begun < SECONDS:
        look(page)
        for _ in range(5):
            if expected.search(place.inner_text().replace("\N{NO-BREAK SPACE}", " ")):
                return
            # No sleep, in which nobody would answer what the page asks of a test: it would ask less then.
            page.wait_for_timeout(40)
    raise AssertionError(page.locator("body").inner_text())


def tabbed_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {selector}")


def test_a_stranger_reads_how_well_it_predicts_and_that_something_changed(
    models: Models, watch: Watch
) -> None:
    with watch(models.page(models.changed())) as page:
        expect(page.locator("#gain")).to_have_text(
            re.compile(r"^Predictions are [4-7]\.\d\s% better than always saying the average rate\.$")
        )
        expect(page.locator("#calibration")).to_have_text(
            re.compile(r"^It predicted [45],\d{3} clicks; 5,\d{3} came: \d(\.\d)?\s% too (few|many)\.$")
        )
        sees(page, "#change", "Something changed at example")
        change = page.locator("#change").inner_text()
        found = re.match(r"Something changed at example ([\d,]+): ", change)
        assert found, change
        assert 50_000 <= int(found[1].replace(",", "")) <= 55_000
        assert page.locator("input[value=whole]").is_checked()  # the range that says most of a young model
        # The chart says it too: to the eye by its line and marks, to others by a sentence and a table.
        gains = page.locator("#gain-chart")
        assert "over 100,000 examples" in (gains.locator("svg.plot").get_attribute("aria-label") or "")
        assert gains.locator("path.line").count() == 1
        assert gains.locator(".mark.alarming").count() == 1
        gains.locator("summary").click()
        rows = gains.locator("tbody tr")
        expect(rows.first).to_be_visible()
        assert 30 <= rows.count() <= 70
        shares = [
            float(cell.replace("\N{MINUS SIGN}", "-").partition("\N{NO-BREAK SPACE}")[0])
            for cell in rows.locator("td").all_inner_texts()
        ]
        half = len(shares) // 2
        before, after = shares[half - 6 : half], shares[half : half + 6]
        assert sum(after) / 6 < sum(before) / 6 - 2


def test_figures_follow_what_is_learned(models: Models, watch: Watch) -> None:
    models.make("young")
    with watch(models.page("young")) as page:
        expect(page.locator("#pace")).to_have_text("0 examples learned from, none at the moment.")
        models.learn("young", tastes(20, seed=4))
        sees(page, "#gain", "Too early to say how well it predicts:")
        models.learn("young", tastes(3_000, seed=5))
        sees(page, "#gain", "% better than always saying the average rate.")
        sees(page, "#pace", "3,020 examples learned from")
        sees(page, "#slices-tables", "8 values")
        page.locator("#slices-tables summary").focus()
        models.learn("young", tastes(1_000, seed=6))
        sees(page, "#pace", "4,020 examples learned from")
        assert page.evaluate("document.activeElement.matches('#slices-tables summary')")  # it keeps its place
        assert page.locator("#slices-tables tbody tr").count() == 8


def test_models_and_ranges_are_chosen_by_keyboard_and_kept_in_the_address(
    models: Models, watch: Watch
) -> None:
    names = [models.make(f"model-{k:02}").rpartition("/")[2] for k in range(12)]
    with watch(models.page(names[3])) as page:
        expect(page.locator("h1#name")).to_have_text(names[3])
        tabbed_to(page, "#models-list a")
        assert page.evaluate("document.activeElement.getAttribute('aria-current')") == "page"
        for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("h1#name")).to_have_text(names[4])
        assert page.evaluate("new URLSearchParams(location.hash.slice(1)).get('model')") == names[4]
        tabbed_to(page, "#ranges input")
        page.keyboard.press("ArrowRight")
        expect(page).to_have_url(re.compile("range=quarter"))
        page.reload()
        expect(page.locator("h1#name")).to_have_text(names[4])
        expect(page.locator("input[value=quarter]")).to_be_checked()
        page.fill("#models-filter", "EL-07")
        expect(page.locator("#models-list li:visible")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(page.locator("h1#name")).to_have_text(names[7])
        page.go_back()
        expect(page.locator("h1#name")).to_have_text(names[4])


def test_an_example_is_predicted_and_explained_by_keyboard_alone(models: Models, watch: Watch) -> None:
    models.learn("tried", tastes(5_000, seed=1))
    with watch(models.page("tried"), failing=("422",)) as page:
        expect(page.locator("#try-fields")).to_have_text("Its fields: site, hour.")
        tabbed_to(page, "#try-text")
        page.keyboard.type("site=s1\nhour=h2")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#try-answer .lead")).to_have_text(re.compile(r"^[78]\d\s% of such are clicked"))
        first = page.locator("#try-parts tbody tr")
        assert "site=s1" in first.all_inner_texts()[1]
        assert first.nth(1).locator("rect.for").count() == 1
        for text, said in (
            ("site", "Line 1 is “site”: write field=value."),
            ("bid:much", "Line 1: “much” is no number."),
            ('{"site": ', "This is not JSON"),
            ('{"site": {"a": 1}}', "site"),  # the service's own words
            ("", "Write at least one field"),
        ):
            page.fill("#try-text", text)
            page.focus("#try-text")
            page.keyboard.press("Control+Enter")
            expect(page.locator("#try-error")).to_contain_text(said)
        page.fill("#try-text", '{"features": {"site": "s5", "bid": 0.5}}')
        page.keyboard.press("Control+Enter")
        expect(page.locator("#try-answer .lead")).to_have_text(re.compile(r"^1?\d(\.\d)?\s% of such"))
        expect(page.locator("#try-error")).to_be_hidden()


def test_products_of_fields_are_none_to_type(models: Models, watch: Watch) -> None:
    models.client.put("/v1/models/crossed", json={"interactions": ["site*hour"]}).raise_for_status()
    models.learn("crossed", tastes(5_000, seed=1))
    with watch(models.page("crossed")) as page:
        expect(page.locator("#more")).to_contain_text("site*hour")
        expect(page.locator("#try-fields")).to_have_text("Its fields: site, hour.")
        expect(page.locator("#try-text")).to_have_attribute("placeholder", "site=…\nhour=…")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("discard", [False, True])
def test_a_pause_is_told_with_its_reason_and_ended_by_hand(
    models: Models, watch: Watch, discard: bool
) -> None:
    model = models.paused(f"paused-{discard}".lower())
    before = models.client.get(f"/v1/models/{model}").json()["sequence"]
    with watch(models.page(model)) as page:
        expect(page.get_by_role("heading", name="Learning is paused")).to_be_visible()
        expect(page.locator("#paused-why")).to_contain_text("click")
        held = int(re.findall(r"[\d,]+", page.locator("#paused-held").inner_text())[0].replace(",", ""))
        assert held > 0
        button = page.locator("#discard" if discard else "#resume")
        button.click()
        page.keyboard.press("Enter")  # it asks first, and Enter is no
        assert models.client.get(f"/v1/models/{model}").json()["sequence"] == before
        button.click()
        page.locator("#ask-yes").click()
        done = f"{held:,} examples {'discarded' if discard else 'learned from'}. Learning goes on."
        expect(page.locator("#done")).to_have_text(done)
        sees(page, "#events-list", "Discarded" if discard else "Goes on")
        assert page.locator("#paused").is_hidden()
    assert models.client.get(f"/v1/models/{model}").json()["sequence"] == before + held * (not discard)


def test_the_list_marks_pauses_of_models_that_are_not_shown(models: Models, watch: Watch) -> None:
    models.paused("stands")
    assert models.client.put("/v1/models/behind", json={"follows": "stands"}).is_success
    models.make("goes")
    [stands] = [one for one in models.client.get("/v1/models").json()["models"] if one["model"] == "stands"]
    assert stands["learning"] == models.client.get("/v1/models/stands").json()["learning"]
    assert stands["learning"]["held"] > 0
    with watch(models.page("goes")) as page:
        items = page.locator("#models-list li")
        for name in ("stands", "behind"):  # a challenger pauses with its champion
            expect(items.filter(has=page.locator(f"a[title={name}]"))).to_have_class("stopped")
            expect(items.filter(has=page.locator(f"a[title={name}]"))).to_contain_text("paused")
        expect(items.filter(has=page.locator("a[title=goes]"))).not_to_contain_text("paused")


def test_a_starved_model_is_told_of_and_mended(models: Models, watch: Watch) -> None:
    with watch(models.page(models.starved("starved"))) as page:
        expect(page.locator("#verdict")).to_contain_text("It is starved")
        page.locator("#mend").click()
        page.locator("#ask-yes").click()
        expect(page.locator("#done")).to_contain_text("The remedy was applied to")
        sees(page, "#events-list", "Remedy")


def test_names_are_shown_as_they_are_and_never_read_as_markup(models: Models, watch: Watch) -> None:
    with watch(models.page(models.hostile("hostile")), width=PHONE) as page:
        expect(page.locator("#slices-tables")).to_contain_text(HOSTILE)
        page.fill("#try-text", f"site={HOSTILE}\n<b>bold</b>={HOSTILE}\n" + "w" * 300 + "=1")
        page.locator("#try-form button").click()
        expect(page.locator("#try-parts")).to_contain_text(f"<b>bold</b>={HOSTILE}")
        assert page.locator("img, b, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE


def test_the_browser_itself_refuses_markup_and_styles(models: Models, watch: Watch) -> None:
    """What fails all other tests here is really told: the policy is in force, and complaints are heard."""
    models.make("guarded")

    def misused() -> None:
        with watch(models.page("guarded")) as page:
            expect(page.locator("h1#name")).to_have_text("guarded")
            with pytest.raises(PlaywrightError, match="TrustedHTML"):
                page.evaluate("document.body.innerHTML = '<p>markup</p>'")
            page.evaluate("document.body.setAttribute('style', 'color: red')")
            assert page.evaluate("document.body.style.length") == 0

    with pytest.raises(AssertionError, match="TrustedHTML"):
        misused()


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("width", "dark"), [(PHONE, False), (WIDE, True)])
def test_whoever_cannot_see_or_point_has_all_of_it(
    models: Models, watch: Watch, width: int, dark: bool
) -> None:
    with watch(models.page(models.paused("accessible")), width=width, dark=dark) as page:
        expect(page.locator("#gain")).to_contain_text("average rate")
        page.fill("#try-text", "site=s1")
        page.locator("#try-form button").click()
        expect(page.locator("#try-parts")).to_be_visible()
        for part in ("#rate-chart", "#diagnosis"):
            page.locator(f"{part} summary").click()
        expect(page.locator("#rate-chart tbody tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
        found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
        assert len(found["passes"]) > 20
        # A chart's values are read by arrow keys, and said.
        page.locator("#rate-chart .frame").focus()
        page.keyboard.press("End")
        expect(page.locator("#rate-chart .readout")).to_contain_text(
            re.compile("examples .* predicted .* seen")
        )
        assert page.locator("#rate-chart .readout").get_attribute("aria-live") == "polite"


def test_a_token_is_asked_for_and_kept_in_this_tab_only(start: Start, tmp_path: Path, watch: Watch) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"admin {ADMIN}\npredict {PREDICT}\n")
    tokens.chmod(0o600)
    running = start(token_file=str(tokens)).until_ready()
    with running.client() as client, watch(running.url, failing=("401", "403")) as page:
        client.headers["authorization"] = f"Bearer {ADMIN}"
        expect(page.locator("#token-dialog")).to_be_visible()
        page.keyboard.type("not-one-of-those-that-are-known")
        page.keyboard.press("Enter")
        expect(page.locator("#token-why")).to_have_text("The service does not know this token.")
        page.locator("#token-text").fill(PREDICT)
        page.keyboard.press("Enter")
        expect(page.locator("h1#name")).to_have_text("default")
        expect(page.locator("#connection")).to_have_text("Live")
        assert page.evaluate("[JSON.stringify(sessionStorage), localStorage.length, document.cookie]") == [
            f'{{"nonzero-token":"{PREDICT}"}}',
            0,
            "",
        ]
        models = Models(running.url, client)
        models.paused("default")
        sees(page, "#paused-held", "held")
        page.locator("#resume").click()
        page.locator("#ask-yes").click()
        expect(page.locator("#done")).to_contain_text("Not done: this needs a token for admin")
        page.locator("#token").click()
        page.locator("#token-text").fill(ADMIN)
        page.keyboard.press("Enter")
        page.locator("#resume").click()
        page.locator("#ask-yes").click()
        expect(page.locator("#done")).to_contain_text("Learning goes on.")


def test_a_service_that_is_gone_is_told_of_and_comes_back(start: Start, watch: Watch) -> None:
    running = start().until_ready()
    with running.client() as client:
        Models(running.url, client).learn("default", tastes(3_000, seed=1))
    with watch(running.url, failing=("ERR_CONNECTION", "ERR_EMPTY", "503")) as page:
        expect(page.locator("#gain")).to_contain_text("better than")
        shown = page.locator("#gain").inner_text()
        running.kill()
        look(page)
        expect(page.locator("#gone")).to_have_text(
            re.compile(
                r"^The service does not answer\. What you see is from \d\d:\d\d:\d\d\. Trying again\.$"
            )
        )
        expect(page.locator("#connection")).to_have_text("No answer")
        assert page.locator("#gain").inner_text() == shown  # the last figures stay, greyed
        assert "grayscale" in page.locator("#model").evaluate("node => getComputedStyle(node).filter")
        start(port=running.port).until_ready()
        sees(page, "#connection", "Live")
        assert page.locator("#gone").is_hidden()
        assert page.locator("#model").evaluate("node => getComputedStyle(node).filter") == "none"


def test_a_model_that_is_deleted_while_it_is_shown(models: Models, watch: Watch) -> None:
    models.learn("short-lived", tastes(100, seed=1))
    with watch(models.page("short-lived"), failing=("404",)) as page:
        expect(page.locator("#pace")).to_contain_text("100 examples")
        models.client.delete("/v1/models/short-lived")
        sees(page, "#gone", "There is no model short-lived any more. What you see are its last figures.")
        look(page)
        expect(page.locator("#models-list a[href$='=short-lived']")).to_have_count(0)
        models.make("short-lived")
        sees(page, "#pace", re.compile("^0 examples"))
        expect(page.locator("#gone")).to_be_hidden()


def test_a_service_without_models_says_how_to_make_one(start: Start, watch: Watch) -> None:
    running = start().until_ready()
    with running.client() as client:
        client.delete("/v1/models/default")
        with watch(running.url, width=PHONE) as page:
            expect(page.get_by_role("heading", name="No model yet")).to_be_visible()
            Models(running.url, client).make("first")
            sees(page, "main", "first")


def test_it_asks_seldom_for_little_and_never_while_it_is_hidden(models: Models, watch: Watch) -> None:
    models.learn("watched", tastes(30_000, seed=1))
    asked: list[Request] = []
    with watch("about:blank", alone=True) as page:
        page.clock.install()
        page.on("request", lambda request: asked.append(request))
        page.goto(models.page("watched"))
        expect(page.locator("#verdict")).not_to_be_empty()
        first = len(asked)
        for _ in range(5):
            models.learn("watched", tastes(500, seed=6))
            before = len(asked)
            page.clock.run_for(2_000)
            until(lambda before=before: page.evaluate("1") and len(asked) > before)  # type: ignore[misc]
            page.wait_for_load_state("networkidle")
        each = [one.url.rpartition("/v1/")[2] for one in asked[first:]]
        assert 5 <= len(each) <= 12, each
        sizes = [len(one.response().body()) for one in asked[first:]]  # type: ignore[union-attr]
        assert max(sizes) < 150_000
        page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
        look(page)
        quiet = len(asked)
        page.clock.run_for(60_000)
        page.evaluate("Object.defineProperty(document, 'hidden', {get: () => false})")
        assert len(asked) == quiet
        look(page)
        until(lambda: page.evaluate("1") and len(asked) > quiet)
