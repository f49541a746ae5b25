"""What the page of a node that follows says of topics, which the node that writes reads."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from kafka import Broker
from nodes import Nodes
from postgres import Cluster
from service.page.conftest import Watch
from service.page.test_page import sees
from service.page.test_replica import by_role
from service.page.test_source import rows
from service.streams.test_sources import examples
from waiting import SECONDS, until


def test_the_page_of_a_follower_tells_of_the_source_and_of_a_take_over(
    broker: Broker, postgres: Cluster, tmp_path: Path, watch: Watch
) -> None:
    topic = broker.topic(partitions=2)
    broker.produce(topic, [*examples(1_200), b"no example"])
    address = f"kafka://{broker.address}/{topic}?format=vw"
    with Nodes(tmp_path, postgres, "ab", source=address, bits=12, lease_seconds=5) as nodes:
        both = until(lambda: by_role(nodes), lambda: [node.process.log for node in nodes])
        assert both is not None
        writer, follower = both
        with watch(follower.url, failing=("503",)) as page:
            sees(page, "#replica", f"It follows {writer.name}, less than a second behind.")
            sees(page, "#source-state", f"It reads the topic {topic}, and has caught up.")
            sees(page, "#source-topics tbody", re.compile(rf"{topic}\s+2 partitions\s+1,201\s+0\s+1$"))
            expect(page.locator("#source-trouble")).to_be_hidden()
            page.locator("#source-refused summary").click()
            assert [row[:3] for row in rows(page, "#source-refused")] == [
                [f"{topic} partition 0", "1200", "1"]
            ]
            # Who reads hangs: nobody knows how it gets on, until this one takes over and reads on.
            writer.stop_signal()
            sees(page, "#source-state", f"How it gets on with the topic {topic} is not known at the moment.")
            broker.produce(topic, examples(100, seed=2), partition=1)
            expect(page.locator("#replica")).to_be_hidden(timeout=1000 * SECONDS)
            sees(page, "#source-topics tbody", re.compile(rf"{topic}\s+2 partitions\s+1,301\s+0\s+1$"))
            sees(page, "#source-state", f"It reads the topic {topic}, and has caught up.")
            expect(page.locator("#connection")).to_have_text("Live")
