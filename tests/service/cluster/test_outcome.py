"""What is checked of impressions finds one that is lost or there twice, and nothing where all is well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checking import Operation, check
from nodes import Node, Nodes
from nonzero_service.journal.chain import JournalRow
from postgres import Cluster
from service.cluster.clients import JSON, PATH, Recorder
from service.cluster.outcome import until_together
from service.cluster.shared_impressions import check_impressions
from service.cluster.shared_rows import SharedRows

BEFORE, MANY = 10, 12
"""So many predictions that had a click each; and so many without one that the last wait for their turn."""


class Labels(Recorder):
    def predict(self, node: Node, name: str) -> None:
        example = {"features": {"site": "news"}, "id": name}
        asked = self.ask(node, "predict", name, f"{PATH}/predict", json.dumps(example).encode(), JSON)
        assert asked.is_answered, asked

    def label(self, node: Node, name: str) -> None:
        said = json.dumps({"id": name, "label": 1}).encode()
        asked = self.ask(node, "label", name, f"{PATH}/labels", said, JSON)
        assert asked.is_answered, asked


Known = tuple[list[JournalRow], list[Operation]]


@pytest.fixture(scope="module")
def known(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """Rows, and what clients were told, where labels came before the turn of their predictions."""
    place = tmp_path_factory.mktemp("nodes")
    settings = {"bits": 8, "breaker": "off", "impressions": "durable", "journal_retention": "all"}
    with Nodes(place, postgres, "a", negatives="at_once", **settings) as nodes:
        [node] = nodes.until_ready()
        labels = Labels(0, nodes, answer_seconds=30)
        for n in range(BEFORE):
            labels.predict(node, f"before-{n}")
            labels.label(node, f"before-{n}")
        for n in range(MANY):
            labels.predict(node, f"imp-{n}")
        for n in reversed(range(MANY)):
            labels.label(node, f"imp-{n}")
        labels.close()
        finals = until_together(nodes)
        # Some were learned from once: by their label.
        assert 2 * BEFORE + MANY < finals[0].sequence < 2 * (BEFORE + MANY)
        assert check(labels.operations, finals, impressions_teach=True) == []
        rows = SharedRows(nodes.database)
        try:
            yield list(rows.read()), labels.operations
        finally:
            rows.close()


def test_all_that_was_answered_is_there_once(known: Known) -> None:
    rows, operations = known
    check_impressions(rows, operations)


def test_what_is_missing_is_found(known: Known) -> None:
    rows, operations = known
    never = [replace(one, key="never") for one in operations if one.kind == "predict"][:1]
    with pytest.raises(AssertionError, match="the prediction never is kept 0 times"):
        check_impressions(rows, [*operations, *never])
    of_labels = next(row for row in rows if row.kind == "joined")
    with pytest.raises(AssertionError, match=r"the label of \S+ is learned 0 times"):
        check_impressions([row for row in rows if row is not of_labels], operations)


@pytest.mark.parametrize(("kind", "said"), [("impression", "is kept 2 times"), ("joined", "learned 2 times")])
def test_what_is_there_twice_is_found(known: Known, kind: str, said: str) -> None:
    rows, operations = known
    again = next(row for row in rows if row.kind == kind)
    with pytest.raises(AssertionError, match=said):
        check_impressions([*rows, again], operations)
