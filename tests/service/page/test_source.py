"""What the page says of topics that a model reads: of a real broker, in all states; and of lags put in."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from kafka import Broker
from service.conftest import ServiceProcess, Start, starting
from service.page.conftest import PHONE, WIDE, Watch
from service.page.models import HOSTILE
from service.page.test_page import sees
from service.streams.test_sources import examples, source, source_id, until_read
from waiting import until

HOUR = 3_600_000

ANEW = f"page-anew-{'w' * 200}"
"""A topic whose name is cut: a phone is narrower than it."""


class Sources:
    """A service whose models read topics, and the broker of these."""

    def __init__(self, broker: Broker, running: ServiceProcess) -> None:
        self.broker = broker
        self.running = running

    def page(self, model: str) -> str:
        """Return the address at which the page shows a model."""
        return f"{self.running.url}/#model={model}"


@pytest.fixture(scope="module")
def sources(shared_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """Models that read examples, impressions and clicks, a topic to be made anew; one reads nothing."""
    shared_broker.be_up()
    for name, partitions in (("page-ads", 2), ("page-seen", 1), ("page-clicks", 2), (ANEW, 1)):
        if shared_broker.partitions(name):  # some tests of this file have run before, and others between
            shared_broker.delete_topic(name)
        shared_broker.topic(name, partitions=partitions)
    address = f"kafka://{shared_broker.address}"
    urls = [
        f"{address}/page-ads?format=vw&model=ads",
        f"{address}/page-seen?labels=page-clicks&wait=10m&model=joined",
        f"{address}/{ANEW}?format=vw&model=anew",
    ]
    with starting(ServiceProcess, tmp_path_factory.mktemp("sources")) as start:
        yield Sources(shared_broker, start(source=urls, bits=12, negatives="window").until_ready())


class Told:
    """What the service is made to say of a source from now on."""

    def __init__(self, page: Page, model: str) -> None:
        self._page = page
        self.other: dict[str, Any] = {}
        self.refusal: str | None = None
        page.route(f"**/v1/models/{model}/source", self._answer)

    def end(self) -> None:
        """Put nothing in any more, nor in what is under way: the page is closed next."""
        self._page.unroute_all(behavior="wait")

    def _answer(self, route: Route) -> None:
        if self.refusal is not None:
            body = json.dumps({"title": "Service Unavailable", "status": 503, "detail": self.refusal})
            route.fulfill(status=503, content_type="application/problem+json", body=body)
            return
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | self.other)


def rows(page: Page, selector: str) -> list[list[str]]:
    """Return what stands in a table of the page, by row."""
    found = page.locator(f"{selector} tbody tr").all()
    return [row.locator("th, td").all_text_contents() for row in found]


def test_a_model_without_a_source_says_nothing_of_it(sources: Sources, watch: Watch) -> None:
    with watch(sources.page("default")) as page:
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#more")).to_contain_text("Made")
        expect(page.locator("#source")).to_be_hidden()
        expect(page.locator("#source-trouble")).to_be_hidden()


def test_what_is_read_how_far_and_what_was_refused(sources: Sources, watch: Watch) -> None:
    broker, running = sources.broker, sources.running
    broker.produce("page-ads", examples(1_200))
    until_read(running, 1_200, "ads")
    with watch(sources.page("ads"), width=PHONE) as page:
        sees(page, "#source-state", "It reads the topic page-ads, and has caught up.")
        expect(page.locator("#source-why")).to_be_empty()
        for part in (
            "#source-time",
            "#source-counts",
            "#source-refused",
            "#source-unseen",
            "#source-trouble",
        ):
            expect(page.locator(part)).to_be_hidden()
        assert rows(page, "#source-topics") == [["page-ads 2 partitions", "1,200", "0", "0"]]
        page.locator("#source-parts summary").click()
        assert rows(page, "#source-parts") == [
            ["page-ads", "0", "1,200", "0", "0"],
            ["page-ads", "1", "\N{EN DASH}", "0", "0"],  # of which the journal knows nothing yet
        ]
        broker.produce("page-ads", [b"1 |a b", b"0 |a c\nno example", HOSTILE.encode()], partition=1)
        until_read(running, 1_203, "ads")
        sees(page, "#source-topics tbody", re.compile(r"page-ads\s+2 partitions\s+1,203\s+0\s+2$"))
        assert page.evaluate("document.querySelector('#source-parts').open")  # it stays as it was
        page.locator("#source-refused summary").focus()
        page.keyboard.press("Enter")
        refused = rows(page, "#source-refused")
        assert [row[:3] for row in refused] == [
            ["page-ads partition 1", "2", "1"],
            ["page-ads partition 1", "1", "2"],
        ]
        assert all("no '|'" in row[3] for row in refused)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        page.locator("#models-fold > summary").click()
        page.locator("#models-list a[title=default]").click()
        expect(page.locator("h1#name")).to_have_text("default")
        expect(page.locator("#source")).to_be_hidden()


def test_impressions_and_clicks_have_an_event_time(sources: Sources, watch: Watch) -> None:
    began = int(time.time() * 1000) - 3 * HOUR
    times = [began + k * 60_000 for k in range(120)]
    seen = [b'{"features": {"site": "s%d"}, "id": "imp-%d"}' % (k % 7, k) for k in range(120)]
    sources.broker.produce("page-seen", seen, times=times)
    clicks = [b'{"id": "imp-%d"}' % k for k in range(0, 120, 3)] + [b'{"id": "nobody"}']
    sources.broker.produce("page-clicks", clicks, times=[*times[::3], times[-1]])
    with watch(sources.page("joined"), dark=True) as page:
        sees(page, "#source-state", "It reads the topics page-seen and page-clicks, and has caught up.")
        sees(page, "#source-time", re.compile(r"Event time has reached .* behind the clock"))
        sees(
            page,
            "#source-topics tbody",
            re.compile(r"page-seen\s+1 partition\s+120\s+0\s+0\s+page-clicks\s+2 partitions\s+41\s+0\s+0"),
        )
        sources.broker.produce("page-clicks", [b'{"id": "to-come-1"}', b'{"id": "to-come-2"}'], partition=1)
        sees(page, "#source-time", "2 clicks wait for their impressions.")
        sees(page, "#source-counts", re.compile(r"clicks that waited in vain\s+\d+"))  # nobody's, at least


def test_a_lag_a_pause_and_what_nobody_answers(sources: Sources, watch: Watch) -> None:
    with watch("about:blank", failing=("503",)) as page:
        told = Told(page, "ads")
        page.goto(sources.page("ads"))
        expect(page.locator("#source-state")).to_contain_text("It reads the topic page-ads")
        for other, said in (
            ({"lag_messages": 1, "lag_seconds": 0.4}, "and is 1 message, less than a second, behind."),
            ({"lag_messages": 12_345, "lag_seconds": 150.0}, "and is 12,345 messages, 2 minutes, behind."),
            ({"lag_messages": 12_345, "lag_seconds": None}, "and is 12,345 messages behind."),
            ({"lag_messages": None, "lag_seconds": None}, "It reads the topic page-ads."),
            ({"refusals": None, "refused": 3}, "It reads the topic page-ads"),
            ({"state": "paused"}, "It does not read the topic page-ads while learning is paused."),
        ):
            told.other = other
            sees(page, "#source-state", said)
            if "refusals" in other:
                sees(page, "#source-unseen", "What was refused is shown with a token for update.")
        expect(page.locator("#source-next")).to_have_text("It reads on when the pause has ended.")
        # Who reads is another node, which is gone: all else goes on.
        told.refusal = "no node writes just now"
        sees(page, "#source-state", "How it gets on with the topic page-ads is not known at the moment.")
        expect(page.locator("#source-why")).to_have_text("No node writes just now.")
        expect(page.locator("#source-topics")).to_be_hidden()
        expect(page.locator("#connection")).to_have_text("Live")
        told.refusal, told.other = None, {}
        sees(page, "#source-state", "It reads the topic page-ads")
        expect(page.locator("#source-topics")).to_be_visible()
        told.end()


def test_many_partitions_are_told_by_the_worst(sources: Sources, watch: Watch) -> None:
    [one, _] = source(sources.running, "ads")["partitions"]
    with watch("about:blank") as page:
        told = Told(page, "ads")
        told.other = {
            "partitions": [
                one | {"partition": k, "lag_messages": k % 400, "position": 10} for k in range(3000)
            ]
        }
        page.goto(sources.page("ads"))
        expect(page.locator("#source-topics")).to_contain_text("3,000")
        page.locator("#source-parts summary").click()
        expect(page.locator("#source-parts-some")).to_have_text("The 100 that are furthest behind, of 3,000.")
        shown = rows(page, "#source-parts")
        assert (len(shown), shown[0][3]) == (100, "399")
        told.end()


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("width", "dark"), [(PHONE, True), (WIDE, False)])
def test_a_topic_made_anew_stops_it_with_the_way_out(
    sources: Sources, watch: Watch, width: int, dark: bool
) -> None:
    broker, running = sources.broker, sources.running
    if source(running, "anew")["state"] != "stopped":
        broker.produce(ANEW, [*examples(10), b"no example"])
        until_read(running, 11, "anew")
        broker.delete_topic(ANEW)
        broker.topic(ANEW)
        until(lambda: source(running, "anew")["state"] == "stopped", lambda: source(running, "anew"))
    with watch(sources.page("anew"), width=width, dark=dark) as page:
        said = re.compile(rf"^It has stopped reading the topic {ANEW[:60]}…, at \d\d:\d\d:\d\d, .* ago\.$")
        expect(page.locator("#source-state")).to_have_text(said)
        expect(page.locator("#source-trouble")).to_have_text(said)  # where it is seen at once
        expect(page.locator("#source-why")).to_contain_text("was made anew")
        expect(page.locator("#source-why")).to_contain_text(f"give topic_id={source_id(broker, ANEW)}.")
        expect(page.locator("#source-topics")).to_contain_text(ANEW[:120])
        page.locator("#source-refused summary").click()
        expect(page.locator("#source-refused tbody tr")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
        found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


def test_a_broker_that_goes_away_is_waited_for(broker: Broker, start: Start, watch: Watch) -> None:
    """It says since when, though it is read from all the time as far as the settings go."""
    topic = broker.topic()
    broker.produce(topic, examples(50))
    running = start(source=f"kafka://{broker.address}/{topic}?format=vw", bits=12).until_ready()
    until_read(running, 50)
    with watch(running.url) as page:
        sees(page, "#source-state", "and has caught up.")
        gone = time.time()
        broker.kill()
        until(lambda: source(running)["state"] == "waiting", lambda: source(running))
        assert abs(source(running)["since"] / 1000 - gone) < 5
        until(lambda: source(running)["lag_messages"] is None, lambda: source(running))
        told = source(running)
        assert (told["partitions"][0]["lag_messages"], told["partitions"][0]["end"]) == (None, None)
        assert told["lag_seconds"] > 10  # so long nobody has told what there is
        sees(
            page,
            "#source-state",
            re.compile(rf"^It waits for the topic {topic}, since .*, \d+ seconds now\.$"),
        )
        sees(page, "#source-trouble", f"It waits for the topic {topic}, since")
        expect(page.locator("#source-why")).to_contain_text("No broker answers; they are asked again")
        assert rows(page, "#source-topics") == [[f"{topic} 1 partition", "50", "\N{EN DASH}", "0"]]
        expect(page.locator("#source-note")).to_contain_text("How far it is behind is not known")
        expect(page.locator("#connection")).to_have_text("Live")
        back = time.time()
        broker.start()
        broker.produce(topic, examples(10))
        sees(page, "#source-state", "and has caught up.")
        expect(page.locator("#source-trouble")).to_be_hidden()
        sees(page, "#source-topics tbody", re.compile(r"\s60\s+0\s+0$"))
        assert source(running)["since"] / 1000 > back
