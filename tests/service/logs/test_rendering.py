"""What a log line says of an event, and what it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nonzero import FormatError, SettingsError, SnapshotError
from nonzero_service.journal.errors import OutcomeUnknownError
from nonzero_service.logs.rendering import MOST_FRAMES, described, rendered_json, told_exception
from nonzero_service.writer import applier

SECRET = "Zq7-secret"


def raised(code: Callable[[], object]) -> BaseException:
    try:
        code()
    except BaseException as error:  # noqa: BLE001 - it is what is looked at
        return error
    raise AssertionError("nothing was raised")


def constant() -> None:
    raise RuntimeError("an answer is longer than it says")


def quoting() -> None:
    raise RuntimeError(f"an answer says {SECRET}")


def absent() -> None:
    Path("/nowhere/at-all").read_text()


@pytest.mark.parametrize(
    "code",
    [
        lambda: float(SECRET),
        lambda: dict[str, int]()[SECRET],
        lambda: json.loads(SECRET),
        lambda: (SECRET.encode() + b"\xff").decode(),
        lambda: dict(**{SECRET: 1}, **{SECRET: 2}),
        quoting,
    ],
)
def test_what_may_quote_a_request_is_left_out(code: Callable[[], object]) -> None:
    error = raised(code)
    assert SECRET not in described(error)
    assert SECRET not in json.dumps(told_exception((type(error), error, error.__traceback__)))
    assert described(error).startswith(type(error).__name__)


def test_what_lines_of_a_body_are_refused_for_is_left_out() -> None:
    assert SECRET not in described(FormatError(f"the value {SECRET} is none"))


def test_what_the_applier_met_is_told_no_further() -> None:
    failure = applier._unapplied(7, ValueError(SECRET))
    assert SECRET not in described(failure)
    assert "position 7" in described(failure)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (raised(constant), "an answer is longer than it says"),
        (raised(absent), "/nowhere/at-all"),
        (raised(lambda: None.nothing), "'NoneType' object has no attribute 'nothing'"),  # type: ignore[attr-defined]
        (SnapshotError("data/x is damaged"), "data/x is damaged"),
        (SettingsError("bits: 31"), "bits: 31"),
        (OutcomeUnknownError("position 7"), "position 7"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_helps_is_told(error: BaseException, said: str) -> None:
    assert said in described(error)


def test_frames_are_told_without_their_variables() -> None:
    def fail(body: str) -> None:
        copied = body
        try:
            float(copied)
        except ValueError as error:
            error.add_note(body)
            raise SnapshotError("a file is damaged") from error

    error = raised(lambda: fail(SECRET))
    told = told_exception((type(error), error, error.__traceback__))
    assert SECRET not in json.dumps(told)
    assert [(one["exc_type"], one["is_cause"]) for one in told] == [
        ("SnapshotError", False),
        ("ValueError", True),
    ]
    assert [frame["name"] for frame in told[0]["frames"]][-1] == "fail"
    assert all(set(frame) == {"filename", "lineno", "name"} for one in told for frame in one["frames"])


def test_groups_and_deep_recursion_are_bounded() -> None:
    def deep(n: int) -> None:
        deep(n + 1)

    group = BaseExceptionGroup("some", [raised(lambda: deep(0)), raised(lambda: float(SECRET))])
    [told] = told_exception((type(group), group, None))
    assert [one["exc_type"] for one in told["exceptions"]] == ["RecursionError", "ValueError"]
    assert len(told["exceptions"][0]["frames"]) == MOST_FRAMES + 1
    assert SECRET not in json.dumps(told)
    error: BaseException = ValueError()
    error.__cause__ = other = KeyError()
    other.__cause__ = error
    assert len(told_exception((type(error), error, None))) == 2


class Failing:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class FailingError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    [
        Failing(),
        FailingError(),
        "\udc80",
        2**200,
        {("a", 1): 2},
        {1: {2: object()}},
        math.nan,
        b"\xff",
        Path("x"),
        [ValueError(SECRET)],
    ],
)
def test_whatever_is_in_an_event_a_line_comes_of_it(value: Any) -> None:
    line = rendered_json({"event": "something", "value": value})
    assert b"\n" not in line
    assert json.loads(line.decode("utf-8"))["event"] == "something"
    assert SECRET.encode() not in line


def test_what_cannot_be_rendered_at_all_is_said() -> None:
    circle: dict[str, Any] = {"event": "something"}
    circle["self"] = circle
    assert json.loads(rendered_json(circle))["event"] == "an event could not be rendered"
