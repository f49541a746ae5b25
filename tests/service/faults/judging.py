"""What two lives of a service must have come to, of which a call failed in the first."""

from __future__ import annotations

from typing import Any

from service.faults.scenarios import AFTER, HUNG, Scenario


def faults_of(scenario: Scenario, one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Say what is wrong with two lives, of which the second began with what the first left."""
    faults = [
        f"{which} life: {life['broken']}"
        for which, life in (("first", one), ("second", two))
        if "broken" in life
    ]
    faults += two.get("faults", ["nothing was verified"])
    hung = [name for name, answer in one.items() if isinstance(answer, list) and answer[0] == HUNG]
    if hung:
        faults.append(f"not answered: {hung}")
    if one["status"] == 0 and one.get("saved") != 201:
        faults.append(f"it lives on, and saves nothing: {one.get('saved')}")
    if "after" not in two or "found" not in two:
        return [*faults, f"the second life has ended: {two['status']}"]
    # What was promised is there before anything is repeated, and then everything once.
    least, most = bounds_of(scenario, one)
    found, end = (count(state, scenario) for state in (two["found"], two["after"]))
    taught = _all_taught(scenario, one)
    if scenario.total and found < _start(scenario, one) + sum(taught.values()):
        faults.append(f"{taught} were acknowledged, and {found} are there in all")
    if not scenario.total and two["after"]["held"]:
        faults.append(f"{two['after']['held']} are still held")
    if not least <= end <= most:
        faults.append(f"{least} to {most} examples were sent, and {end} are there")
    return faults


def bounds_of(scenario: Scenario, one: dict[str, Any]) -> tuple[int, int]:
    """Return how many examples there must be after a second life at least, and at most."""
    start = _start(scenario, one)
    if not scenario.total:  # the two that came after may have been discarded with the others
        return start, start + 2
    taught = _all_taught(scenario, one)
    repeated = [request for request in scenario.requests if request.key]
    others = [request for request in (*scenario.requests, AFTER) if request not in repeated]
    least = start + scenario.waits_for + sum(request.examples for request in repeated)
    least += sum(taught[request.name] for request in others)
    # A process that ended may have taken with it what its client was about to tell of a request.
    asked = [request for request in others if request.name in one or one["status"]]
    unknown = sum(request.examples - taught[request.name] for request in asked)
    return least, least + unknown


def _start(scenario: Scenario, one: dict[str, Any]) -> int:
    return count(one["before"], scenario) + scenario.begun


def _all_taught(scenario: Scenario, one: dict[str, Any]) -> dict[str, int]:
    """Return how many examples of each request were acknowledged in a first life."""
    taught = {request.name: _taught(one.get(request.name)) for request in (*scenario.requests, AFTER)}
    if "saved" in one:  # it has lived to see them repeated
        taught |= {request.name: request.examples for request in scenario.requests if request.key}
    return taught


def _taught(answer: Any) -> int:
    """Return how many examples an answer says to be kept."""
    if answer is None or answer[0] not in (200, 202):
        return 0
    return int(answer[1]["accepted"] + answer[1].get("held", 0))


def count(state: dict[str, int], scenario: Scenario) -> int:
    """Return how many examples are there: with those that are held, where they are not discarded."""
    return state["learned"] + (state["held"] if scenario.total else 0)
