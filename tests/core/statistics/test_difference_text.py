"""What is said of a difference names the better one, and the interval from its nearer end on."""

from __future__ import annotations

from nonzero.statistics.difference_text import difference_text


def test_the_better_one_is_named_whichever_side_it_is_on() -> None:
    below = {"mean": -0.5, "low": -0.75, "high": -0.25}
    above = {"mean": 0.5, "low": 0.25, "high": 0.75}
    said = "new is better than old by 0.50000 nats an example, 95 % 0.25000 to 0.75000."
    assert difference_text(below, "new", "old") == said
    assert difference_text(above, "old", "new") == said


def test_what_cannot_be_told_is_said_with_its_interval_or_why_there_is_none() -> None:
    said = difference_text({"mean": 0.125, "low": -0.25, "high": 0.5}, "new", "old")
    assert said == (
        "No difference can be told: the log loss of new less that of old is +0.12500 nats an example, "
        "95 % -0.25000 to +0.50000."
    )
    few = "No difference can be told: there are too few examples."
    assert difference_text({"mean": 0.125, "low": None, "high": None}, "new", "old") == few
    assert difference_text(None, "new", "old") == few
