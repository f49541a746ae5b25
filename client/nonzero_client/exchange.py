"""One logical request: sent until it is answered for good, or its time is over."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NoReturn

from nonzero_client.backoff import LEAST, pause
from nonzero_client.drivers import Driver
from nonzero_client.errors import (
    AnswerError,
    ClientError,
    InputError,
    TimedOutError,
    UnavailableError,
    error_of,
)
from nonzero_client.messages import Answer, Broken, Limits, Request

_PATIENCE: Final = frozenset({408, 429, 502, 503, 504})
"""Statuses that time may mend."""

_UNTOUCHED: Final = 429
"""The one of them that says for certain that nothing was done."""


class Exchange:
    """Sends requests, again where that is safe, until their deadline.

    Parameters
    ----------
    driver
        Sends one once.
    url
        What errors call the service.
    connect_seconds, read_seconds
        The limits of one attempt.
    deadline
        Seconds for a request with all its attempts, where the call does not say its own.
    """

    def __init__(
        self, driver: Driver, url: str, connect_seconds: float, read_seconds: float, deadline: float
    ) -> None:
        self.driver = driver
        self._url = url
        self._connect = _positive("connect_seconds", connect_seconds)
        self._read = _positive("read_seconds", read_seconds)
        self._deadline = _positive("deadline", deadline)

    async def once(self, request: Request, deadline: float | None = None) -> Answer | Broken:
        """Send a request a single time; return whatever came of it."""
        seconds = self._deadline if deadline is None else _positive("deadline", deadline)
        return await self.driver.attempt(request, Limits(self._connect, self._read, seconds))

    async def send(self, request: Request, deadline: float | None = None) -> Answer:
        """Send a request until it is answered for good.

        Parameters
        ----------
        request
            The request.
        deadline
            Seconds for all attempts; None: as the client says.

        Returns
        -------
        Answer
            A success.

        Raises
        ------
        ClientError
            For any other end; it says whether the request may have been carried out.
        """
        seconds = self._deadline if deadline is None else _positive("deadline", deadline)
        end = self.driver.now() + seconds
        failures, unsure = 0, False
        said: Answer | Broken | None = None
        while True:
            left = end - self.driver.now()
            found = await self.driver.attempt(request, Limits(self._connect, self._read, max(left, LEAST)))
            if isinstance(found, Answer) and found.ok:
                found = found if request.check is None else request.check(found)
                if isinstance(found, Answer) and found.ok:
                    return replace(found, unsure=unsure)
            failures += 1
            may_be_done = unsure or _may_be_done(found)
            wait = None
            if self._may_be_mended(request, found):
                asked = found.retry_after if isinstance(found, Answer) else None
                wait = pause(failures, asked, end - self.driver.now())
            # That the last attempt had too little time says less than what befell those before.
            if said is None or not (isinstance(found, Broken) and found.timed_out):
                said = found
            if wait is None:
                self._fail(request, said, failures, seconds, unsure=request.changes and may_be_done)
            unsure = may_be_done
            await self.driver.sleep(wait)

    def _may_be_mended(self, request: Request, found: Answer | Broken) -> bool:
        """Whether another attempt is safe, and may end otherwise."""
        if isinstance(found, Broken):
            return not found.lasting and (request.repeatable or not found.reached)
        if found.status == _UNTOUCHED:
            return True
        in_flight = found.status == 409 and bool(request.key) and found.retry_after is not None
        return request.repeatable and (found.status in _PATIENCE or in_flight)

    def _fail(
        self, request: Request, found: Answer | Broken, tries: int, seconds: float, *, unsure: bool
    ) -> NoReturn:
        error = self._error_of(request, found, tries, seconds)
        error.outcome_unknown = unsure
        error.key = request.key
        if error.problem is not None and not error.problem.request_id:
            what = f"{request.method} {self._url}{request.path}"
            error.add_note(f"{what} was answered by something else than Nonzero, such as a proxy before it.")
        if unsure:
            again = "sent again with its key it is not twice" if request.key else "look before you repeat it"
            error.add_note(f"It may have been carried out; {again}.")
        raise error

    def _error_of(self, request: Request, found: Answer | Broken, tries: int, seconds: float) -> ClientError:
        what = f"{request.method} {self._url}{request.path}"
        times = "" if tries == 1 else f", tried {tries} times"
        if isinstance(found, Broken):
            if found.timed_out:
                return TimedOutError(f"{what}: {found.reason} (deadline {seconds:g} s{times})")
            return UnavailableError(f"{what}: {found.reason} (deadline {seconds:g} s{times})")
        if 300 <= found.status < 400:
            where = found.headers.get("location", "nowhere")
            return AnswerError(
                f"{what} is redirected to {where} ({found.status}); give the client that address"
            )
        problem = found.problem
        if found.status < 300:
            return AnswerError(f"{what} is answered {problem}")
        if found.status not in _PATIENCE:
            return error_of(problem)
        error = UnavailableError(f"{what}: {problem} (deadline {seconds:g} s{times})")
        error.retry_after = found.retry_after
        error.problem = problem
        return error


def _may_be_done(found: Answer | Broken) -> bool:
    """Whether a request that failed so may have been carried out."""
    if isinstance(found, Broken):
        return found.reached
    return found.status >= 500 or found.status == 408


def _positive(name: str, seconds: float) -> float:
    if not (isinstance(seconds, int | float) and seconds > 0 and math.isfinite(seconds)):
        raise InputError(f"{name} is {seconds!r}; it is a number of seconds above 0")
    return float(seconds)
