"""One call fails, of all that are made between a request's coming and its answer; whatever is raised.

Then the process ends, or its books are right: a start is never refused, what is kept is sound, nothing is
learned from twice, and what was answered by 2xx is learned from.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reporting import Figure
from service.faults.every_call import ERRORS, WRITERS, Lives, lives
from service.faults.judging import faults_of
from service.faults.scenarios import SCENARIOS


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    with lives(tmp_path_factory.mktemp("lives")) as server:
        yield server


def calls_of(living: Lives, scenario: str) -> tuple[Path, list[list[Any]]]:
    """Count the calls of a scenario where none fails; return what it begins with, and them."""
    template = living.prepare(scenario)
    one, two = living.pair(scenario, template, None)
    assert faults_of(SCENARIOS[scenario], one, two) == [], (scenario, one, two)
    return template, sorted(one["calls"])


def fail_at(
    living: Lives, scenario: str, template: Path, call: list[Any], chance: random.Random
) -> tuple[bool, bool]:
    """Have a call fail, the first time that it is made or the last.

    Returns
    -------
    tuple[bool, bool]
        Whether it was made, and whether the process ended.
    """
    thread, *_, turns = call
    kind = chance.randrange(len(ERRORS) if thread in WRITERS[:2] else len(ERRORS) - 1)
    point = (*call[:4], chance.choice((1, turns)))
    one, two = living.pair(scenario, template, point, kind)
    faults = faults_of(SCENARIOS[scenario], one, two)
    assert faults == [], (scenario, point, kind, one, two)
    ended = one["status"] != 0
    return ended or one["raised"], ended


def test_a_call_that_fails(living: Lives) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    made = 0
    for scenario in chance.sample(sorted(SCENARIOS), 2):
        template, calls = calls_of(living, scenario)
        assert len(calls) > 200
        writing = [call for call in calls if call[0] in WRITERS]
        for call in (*chance.sample(writing, 3), chance.choice(calls)):
            made += fail_at(living, scenario, template, call, chance)[0]
    assert made > 4, f"calls that were made are no longer, with the seed {seed}"


@pytest.mark.soak
def test_every_call(living: Lives, figure: Figure) -> None:
    chance = random.Random(1)
    known: set[tuple[Any, ...]] = set()
    made = ended = 0
    for scenario in SCENARIOS:
        template, calls = calls_of(living, scenario)
        for call in calls:
            if tuple(call[:4]) not in known:
                known.add(tuple(call[:4]))
                was_made, has_ended = fail_at(living, scenario, template, call, chance)
                made, ended = made + was_made, ended + has_ended
    figure(
        f"an exception at every call that committer, applier, attribution and snapshots make, in "
        f"{len(SCENARIOS)} scenarios",
        "1,000 calls: no refused start, nothing learned twice, no 2xx that taught nothing",
        f"{made:,} calls, at {ended:,} of which the process ended: none",
    )
    assert made > 1000
