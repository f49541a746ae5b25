"""What is sent again, and when; what is not; and which error says what."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from nonzero_client import (
    AnswerError,
    ClientError,
    ConflictError,
    ContentError,
    FailedError,
    ForbiddenError,
    FullError,
    GoneError,
    InputError,
    MediaTypeError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    backoff,
)
from nonzero_client.exchange import Exchange
from nonzero_client.messages import Answer, Broken, Limits, Request

T = TypeVar("T")

OK = Answer(200, b"{}")
LOST = Broken("the connection broke")
NEVER_SENT = Broken("there is no connection", reached=False)
SLOW = Broken("nothing came for 9 s", timed_out=True)
UPDATE = Request("POST", "/v1/models/default/update", body=b"{}", key="k", changes=True)
REMEDY = Request("POST", "/v1/models/default/remedy", changes=True, repeatable=False)
READ = Request("GET", "/v1/models")


def refused(status: int, **headers: str) -> Answer:
    body = json.dumps({"type": "about:blank", "title": "T", "status": status, "detail": "why"}).encode()
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class Scripted:
    """A driver that plays a script; its clock stands still but for what takes time."""

    def __init__(self, *script: Answer | Broken, takes: float = 0.0) -> None:
        self.script = list(script)
        self.takes = takes
        self.time = 1000.0
        self.sent: list[Request] = []
        self.limits: list[Limits] = []
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    async def attempt(self, request: Request, limits: Limits) -> Answer | Broken:
        self.sent.append(request)
        self.limits.append(limits)
        self.time += min(self.takes, limits.total)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    async def aside(self, function: Callable[[], T], /) -> T:
        return function()

    async def close(self) -> None:
        """Nothing is open."""


def send(driver: Scripted, request: Request = UPDATE, deadline: float | None = None) -> Answer:
    exchange = Exchange(driver, "http://nonzero", connect_seconds=5, read_seconds=60, deadline=120)
    return asyncio.run(exchange.send(request, deadline))


@pytest.mark.parametrize(
    "failure",
    [
        *(LOST, NEVER_SENT, SLOW),
        *(refused(408), refused(429), refused(502), refused(503), refused(504)),
        refused(409, retry_after="1"),  # the key is in flight
    ],
)
def test_what_time_may_mend_is_sent_again_as_it_was(failure: Answer | Broken) -> None:
    driver = Scripted(failure, failure, OK)
    assert send(driver).status == 200
    assert len(driver.sent) == 3
    assert all(request is UPDATE for request in driver.sent)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 431, 500, 505, 507])
def test_what_time_does_not_mend_is_not(status: int) -> None:
    driver = Scripted(refused(status), OK)
    with pytest.raises((RefusedError, FailedError)) as error:
        send(driver)
    assert len(driver.sent) == 1
    assert error.value.status == status


@pytest.mark.parametrize("failure", [LOST, SLOW, refused(503), refused(408), refused(502)])
def test_what_must_not_happen_twice_is_sent_again_only_where_it_has_not(failure: Answer | Broken) -> None:
    driver = Scripted(failure, OK)
    with pytest.raises(ClientError) as error:
        send(driver, REMEDY)
    assert len(driver.sent) == 1
    assert error.value.outcome_unknown
    for harmless in (NEVER_SENT, refused(429)):
        assert send(Scripted(harmless, harmless, OK), REMEDY).status == 200


def test_a_conflict_without_a_key_is_one() -> None:
    driver = Scripted(refused(409, retry_after="1"), OK)
    with pytest.raises(ConflictError):
        send(driver, READ)


def test_pauses_double_with_full_jitter_and_end_with_the_deadline() -> None:
    driver = Scripted(NEVER_SENT)
    with pytest.raises(UnavailableError, match="tried"):
        send(driver, deadline=120)
    assert 120 - 2 * backoff.LONGEST < sum(driver.slept) <= 120
    assert len(driver.sent) < 80
    for n, slept in enumerate(driver.slept):
        assert 0 <= slept <= min(backoff.LONGEST, backoff.FIRST * 2**n)
    assert max(driver.slept) > 1
    assert len({round(slept, 6) for slept in driver.slept}) == len(driver.slept)


def test_the_service_is_asked_no_sooner_than_it_says() -> None:
    driver = Scripted(refused(503, retry_after="7"), refused(429, retry_after="2"), OK)
    send(driver)
    assert 7 <= driver.slept[0] <= 7.1
    assert 2 <= driver.slept[1] <= 2.2


def test_where_it_says_later_than_the_deadline_nobody_waits() -> None:
    driver = Scripted(refused(503, retry_after="30"))
    with pytest.raises(UnavailableError, match="503 T: why") as error:
        send(driver, deadline=10)
    assert driver.slept == []
    assert error.value.retry_after == 30
    assert error.value.problem is not None
    assert error.value.problem.detail == "why"


def test_attempts_have_the_time_that_is_left() -> None:
    driver = Scripted(SLOW, takes=4)
    with pytest.raises(TimedOutError, match=r"nothing came for 9 s \(deadline 10 s, tried \d+ times\)"):
        send(driver, deadline=10)
    assert driver.limits[0] == Limits(5, 60, 10)
    assert all(a.total > b.total for a, b in zip(driver.limits, driver.limits[1:], strict=False))
    assert driver.time <= 1010.01


def test_what_is_said_is_what_befell_it_not_that_time_was_short() -> None:
    driver = Scripted(refused(503), SLOW, takes=4)
    with pytest.raises(UnavailableError, match="503 T: why"):
        send(driver, deadline=10)


def test_a_lasting_failure_is_not_tried_again() -> None:
    driver = Scripted(Broken("the certificate is not trusted", reached=False, lasting=True), OK)
    with pytest.raises(UnavailableError, match="the certificate is not trusted"):
        send(driver)
    assert len(driver.sent) == 1


def test_an_answer_that_is_less_than_it_should_be_is_asked_for_again() -> None:
    whole = Answer(200, b"whole")
    driver = Scripted(Answer(200, b"half"), refused(503), whole)
    request = Request("POST", "/", check=lambda answer: answer if answer.body == b"whole" else LOST)
    assert send(driver, request).body == b"whole"


@pytest.mark.parametrize(
    ("script", "request_", "unknown"),
    [
        ([LOST], UPDATE, True),
        ([SLOW], UPDATE, True),
        ([NEVER_SENT], UPDATE, False),
        ([refused(429)], UPDATE, False),
        ([refused(503)], UPDATE, True),
        ([refused(500)], UPDATE, True),
        ([refused(422)], UPDATE, False),
        ([LOST, refused(401)], UPDATE, True),
        ([LOST, NEVER_SENT], UPDATE, True),
        ([LOST], READ, False),
        ([refused(500)], READ, False),
    ],
)
def test_what_is_known_of_what_was_done(
    script: list[Answer | Broken], request_: Request, unknown: bool
) -> None:
    with pytest.raises(ClientError) as error:
        send(Scripted(*script, takes=1), request_, deadline=3)
    assert error.value.outcome_unknown is unknown
    assert error.value.key == request_.key


def test_a_success_says_whether_an_earlier_sending_may_have_been_one() -> None:
    assert send(Scripted(OK)).unsure is False
    assert send(Scripted(NEVER_SENT, refused(429), OK)).unsure is False
    assert send(Scripted(LOST, OK)).unsure is True
    assert send(Scripted(refused(503), OK)).unsure is True


KINDS = {
    400: RefusedError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: RefusedError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    415: MediaTypeError,
    422: ContentError,
    431: RefusedError,
    500: FailedError,
    507: FullError,
}


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
def test_each_problem_is_an_exception_with_its_members(status: int, kind: type[ClientError]) -> None:
    body = {
        "type": "urn:x",
        "title": "A Title",
        "status": status,
        "detail": "a detail",
        "instance": "/v1/models/default/update",
        "request_id": "abc",
        "errors": [{"line": 2, "reason": "bad"}],
        "accepted": 7,
    }
    with pytest.raises(kind) as raised:
        send(Scripted(Answer(status, json.dumps(body).encode())))
    assert type(raised.value) is kind
    error: Any
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert str(error) == f"{status} A Title: a detail"
        assert (error.type, error.title, error.status, error.detail) == (
            "urn:x",
            "A Title",
            status,
            "a detail",
        )
        assert (error.instance, error.request_id) == ("/v1/models/default/update", "abc")
        assert [(fault.line, fault.reason) for fault in error.errors] == [(2, "bad")]
        assert error.problem.members == {"accepted": 7}
        assert error.key == "k"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(502, b"<html>Bad Gateway</html>"), "502 Bad Gateway: <html>Bad Gateway</html>"),
        (Answer(599, b"\xff"), "599 Unknown: \ufffd"),
        (Answer(404, b"[1]"), r"404 Not Found: \[1\]"),
        (Answer(404, b'{"errors": 7}'), "404 Not Found"),
    ],
)
def test_what_others_answer_is_shown(answer: Answer, said: str) -> None:
    with pytest.raises(ClientError, match=said) as error:
        send(Scripted(answer, takes=200))
    note = "POST http://nonzero/v1/models/default/update was answered by something else than Nonzero"
    assert error.value.__notes__[0].startswith(note)


def test_a_redirect_is_told_not_followed() -> None:
    moved = Answer(301, b"", {"location": "https://elsewhere/"})
    with pytest.raises(AnswerError, match=r"redirected to https://elsewhere/ \(301\)"):
        send(Scripted(moved))


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5", None])
def test_times_that_are_none(seconds: Any) -> None:
    with pytest.raises(InputError, match="deadline is"):
        Exchange(Scripted(OK), "http://nonzero", 5, 60, deadline=seconds)
    if seconds is not None:
        with pytest.raises(InputError, match="deadline is"):
            send(Scripted(OK), deadline=seconds)


def test_jitter_is_not_what_forked_processes_have_in_common() -> None:
    assert isinstance(backoff.CHANCE, random.SystemRandom)
