"""What is said of how a database keeps what it acknowledges."""

from __future__ import annotations

import pytest

from nonzero_service.journal.postgres.condition import Condition, Standby


def condition(names: str, *standbys: tuple[str, str, str], commit: str = "remote_apply") -> Condition:
    there = tuple(Standby(name, "10.0.0.2", state, sync, 0) for name, state, sync in standbys)
    return Condition("10.0.0.1:5432", "15.1", commit, names, "on", there)


ONE, TWO = ("one", "streaming", "sync"), ("two", "streaming", "sync")


@pytest.mark.parametrize(
    ("names", "required"),
    [
        ("one", 1),
        ("one, two", 1),
        ("2 (one, two)", 2),
        ("FIRST 2 (one, two)", 2),
        ("any 1(one,two)", 1),
        ("", 0),
    ],
)
def test_how_many_standbys_a_commit_waits_for(names: str, required: int) -> None:
    assert condition(names).required == required


def test_nothing_is_in_danger_where_all_that_is_waited_for_streams() -> None:
    assert condition("FIRST 2 (one, two)", ONE, TWO).danger == ""
    assert condition("ANY 1 (one, two)", ("two", "streaming", "quorum")).danger == ""


def test_commits_that_wait_for_one_of_two_are_told() -> None:
    found = condition("FIRST 2 (one, two)", ONE)
    assert found.waits
    assert "commits wait for 2 of the standbys 'FIRST 2 (one, two)', and 1 of them streams" in found.danger


def test_a_standby_under_another_name_is_named() -> None:
    found = condition("standby", ("walreceiver", "streaming", "async"))
    assert found.waits
    assert "there is: walreceiver (streaming)" in found.danger
    assert "cluster_name" in found.danger


def test_commits_that_wait_for_nobody_do_not_wait() -> None:
    assert not condition("standby", commit="local").waits
    assert not condition("").waits
