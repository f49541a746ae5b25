"""What the client says of answers is what the service's description says of them."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints, is_typeddict

import httpx
import pytest

import nonzero_client
from nonzero_client import LabelResult, LineFault, Prediction, Problem, UpdateResult
from service.conftest import ServiceProcess

DICTS = {
    "Comparison": "Compared",
    "Contribution": "Contribution",
    "Diagnosis": "Diagnosis",
    "Explanation": "Explanation",
    "Metrics": "Metrics",
    "History": "History",
    "ModelDetail": "ModelDetail",
    "ModelState": "ModelState",
    "Promoted": "Promoted",
    "Remedied": "Remedied",
    "Resumed": "Resumed",
    "Snapshot": "Snapshot",
    "Window": "Window",
}
OBJECTS = {
    LabelResult: ("Labelled", {"known", "lines"}),
    LineFault: ("LabelFault", set[str]()),
    Prediction: ("Prediction", {"reason"}),
    Problem: ("Problem", {"members"}),
    UpdateResult: ("Updated", {"lines", "key"}),
}
IN_MEMBERS = {"accepted", "leader", "rejected", "sequence"}
"""What a problem has beside what every problem has."""


@pytest.fixture(scope="module")
def schemas(service: ServiceProcess) -> dict[str, Any]:
    description = httpx.get(f"{service.url}/openapi.json", trust_env=False).json()
    found: dict[str, Any] = description["components"]["schemas"]
    return found


def test_each_dict_is_looked_at() -> None:
    dicts = {name for name in nonzero_client.__all__ if is_typeddict(getattr(nonzero_client, name))}
    assert dicts == set(DICTS)


@pytest.mark.parametrize("name", DICTS)
def test_dicts_have_the_members_that_are_described(name: str, schemas: dict[str, Any]) -> None:
    described = schemas[DICTS[name]]
    kind = getattr(nonzero_client, name)
    assert set(get_type_hints(kind)) == set(described["properties"])
    assert kind.__required_keys__ == set(described.get("required", described["properties"]))


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_objects_have_the_members_that_are_described(kind: Any, schemas: dict[str, Any]) -> None:
    name, own = OBJECTS[kind]
    members = {field.name for field in dataclasses.fields(kind)}
    described = set(schemas[name]["properties"])
    assert members - own == described - (IN_MEMBERS if kind is Problem else set())
