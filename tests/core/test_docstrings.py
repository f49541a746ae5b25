"""Every public name says what it takes, what it returns and, by an example that runs, how it is used.

The examples themselves are doctests.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import nonzero
import nonzero.river
import nonzero.sklearn
from nonzero import formats
from nonzero.kernels.rules.interface import UpdateRule
from nonzero.model.table import Table
from nonzero.persistence.shared import SharedState

CLASSES = sorted(
    {Table, SharedState}  # what a model's public properties give
    | {
        found
        for package in (nonzero, formats, nonzero.river, nonzero.sklearn)
        for name in package.__all__
        if inspect.isclass(found := getattr(package, name))
    },
    key=lambda one: (one.__qualname__, one.__module__),
)


def title(of: type) -> str:
    """Return the name of a class, after that of its package where two have the name."""
    package = of.__module__.split(".")[1]
    return f"{package}.{of.__name__}" if package in ("river", "sklearn") else of.__name__


def methods(of: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods that are written in a class, or in one of ours that it is made of."""
    for name, found in inspect.getmembers_static(of):
        function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        if function.__module__.split(".")[0] == "nonzero":
            yield f"{title(of)}.{name}", function


FUNCTIONS = dict(
    [
        *((f"formats.{name}", getattr(formats, name)) for name in ("parse", "reader")),
        *(found for one in CLASSES for found in methods(one)),
    ]
)
PROPERTIES = {
    f"{title(one)}.{name}": found
    for one in CLASSES
    for name, found in inspect.getmembers_static(one)
    if isinstance(found, property) and found.fget.__module__.split(".")[0] == "nonzero"
}
BY_THEIR_CLASS = "Format."
"""Whoever reads a text format calls none of these: an example that replaces one is their class's."""


def section(of: Any, title: str) -> str | None:
    """Return what stands below a title of a docstring; None where there is no such title."""
    parts = re.split(r"^(\w[\w ]+)\n-+\n", inspect.getdoc(of) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title)


def described(of: Any) -> set[str]:
    """Return the names that a docstring says something of, below Parameters."""
    lines = re.findall(r"^(\S.*)\n +\S", section(of, "Parameters") or "", re.MULTILINE)
    return {name.strip().lstrip("*") for line in lines for name in line.split(",")}


def arguments(of: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(of).parameters) - {"self", "cls"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_describe_what_they_take_and_return(name: str) -> None:
    function = FUNCTIONS[name]
    assert described(function) == arguments(function)
    if inspect.signature(function).return_annotation != "None":
        assert section(function, "Returns") or section(function, "Yields")
    if not name.startswith(BY_THEIR_CLASS):
        assert ">>> " in (section(function, "Examples") or "")


@pytest.mark.parametrize("of", [*CLASSES, UpdateRule], ids=title)
def test_classes_describe_what_they_are_made_of(of: type) -> None:
    assert ">>> " in (section(of, "Examples") or "")
    own = not issubclass(of, BaseException) or "__init__" in vars(of)
    assert described(of) == (arguments(of) if own else set())


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_say_what_they_are(name: str) -> None:
    assert inspect.getdoc(PROPERTIES[name])


def test_something_is_looked_at() -> None:
    assert {"LogisticRegression.predict", "Batch.from_dicts", "Reader.feed", "Format.read"} <= set(FUNCTIONS)
    assert {"river.NonzeroClassifier.learn_one", "sklearn.NonzeroClassifier.fit"} <= set(FUNCTIONS)
    assert "LogisticRegression.schema" in PROPERTIES
