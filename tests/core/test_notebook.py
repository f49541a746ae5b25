"""What notebooks show: valid, small, escaped, without a script or a colour."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, LogisticRegression, formats


def cells(html: str) -> dict[str, list[str]]:
    """Return the cells of each row by its name, of HTML that is well-formed and harmless."""
    assert len(html) < 5_000
    assert re.search(r"<script|<style|<img|javascript:|\bon\w+=|https?:|[^-]color|background", html) is None
    tree = ET.fromstring(html)
    assert {one.tag for one in tree.iter()} == {"div", "table", "caption", "tbody", "tr", "th", "td"}
    assert {name for one in tree.iter() for name in one.attrib} <= {"style", "scope", "colspan"}
    widths = [sum(int(cell.get("colspan", 1)) for cell in row) for row in tree.iter("tr")]
    assert {*widths} == {max(widths)}
    rows = [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]
    return {name: said for name, *said in rows}


def test_a_model_shows_settings_figures_and_the_verdict() -> None:
    model = LogisticRegression(bits=10, schema={"bid": "number", "site": "category", "ad": "category"})
    shown = cells(model._repr_html_())
    assert shown["table"] == ["2^10 = 1,024 slots"]
    assert shown["learners"] == ["8 lanes, mixed: nothing to tune"]
    assert shown["schema"] == ["2 category, 1 number; all others: infer"]
    assert (shown["examples"], shown["log loss"], shown["AUC"]) == (["0"], ["undefined"], ["undefined"])
    assert shown["diagnosis"][0].startswith("learning: ")
    model.learn(random_batch(1, n=500))
    shown, found = cells(model._repr_html_()), model.metrics()
    assert shown["examples"] == ["500"]
    assert shown["log loss"] == [f"{found['log_loss']:.5f}"]
    assert shown["calibration"] == [f"{found['calibration']:.4f}"]
    assert "interactions" not in shown


def test_a_long_stream_shows_its_end_beside_it() -> None:
    model = LogisticRegression(bits=4)
    labels = np.arange(100_500) % 2
    model.learn(Batch(np.zeros(len(labels) + 1, np.int64), [], labels=labels))
    shown = cells(model._repr_html_())
    assert shown["examples"] == ["100,500", "100,000"]
    assert shown[""] == ["in all", "lately"]
    assert len(shown["AUC"]) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": FTRL(0.1, l1=2.0)}, "FTRL(alpha=0.1, beta=1.0, l1=2.0, l2=0.0)"),
        ({"optimizer": [AdaGrad(0.1)] * 7 + [FTRL(0.1)]}, "8 lanes, mixed: 7 adagrad, 1 ftrl"),
        ({"version": 1}, "8 lanes, mixed: nothing to tune"),
    ],
)
def test_the_rules_are_told(settings: dict[str, object], said: str) -> None:
    model = LogisticRegression(bits=8, **settings)  # type: ignore[arg-type]
    assert cells(model._repr_html_())["learners"] == [said]


def test_names_are_text_whatever_they_are() -> None:
    names = ["<script>alert(1)</script>*\"onload='x'", "a&b*</table>"]
    model = LogisticRegression(bits=8, interactions=names, recalibrated=True)
    html = model._repr_html_()
    assert "<script" not in html
    assert cells(html.replace("onload=", ""))["interactions"] == [", ".join(names).replace("onload=", "")]
    many = LogisticRegression(bits=8, interactions=[f"a*b{k}" for k in range(30)])
    assert cells(many._repr_html_())["interactions"][0].endswith("a*b19 and 10 more")


def test_a_batch_shows_how_much_there_is_of_what() -> None:
    parsed = formats.parse(b"1 2 'imp-1 |site news |bid:0.5 b\n0 | x y\n| z\n", "vw")
    shown = cells(parsed._repr_html_())
    assert shown["examples"] == ["3"]
    assert shown["nonzeros"] == [f"{parsed.nnz}"]
    assert shown["clicks"] == ["1 of 2 labels"]
    assert shown["weights"] == ["4 in all"]
    assert shown["beside them"] == ["values, fields, ids"]
    assert shown["memory"] == [f"{parsed.nbytes:,} bytes"]
    empty = cells(Batch.empty()._repr_html_())
    assert (empty["clicks"], empty["weights"], empty["beside them"]) == (
        ["no labels"],
        ["1 each"],
        ["nothing"],
    )
