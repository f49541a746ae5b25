"""The exceptions of the client.

::

    ClientError
    ├── InputError (ValueError)      what was given cannot be sent; nothing of it was
    ├── RefusedError                 the service refused it (4xx): sent again it is refused again
    │   ├── UnauthorizedError        401  no token, or one that is not known
    │   ├── ForbiddenError           403  the token is not for this
    │   ├── NotFoundError            404  no such model, or prediction
    │   ├── ConflictError            409  it does not go with how things stand
    │   ├── GoneError                410  the label came too late
    │   ├── TooLargeError            413  the body is too large
    │   ├── MediaTypeError           415  the service does not read such bodies
    │   └── ContentError             422  the content cannot be used; `errors` names lines
    ├── FailedError                  the service failed (5xx), and waiting does not mend it
    │   └── FullError                507  its disk or its memory is full
    ├── UnavailableError             not in the time there was: no connection, or too much to do (429, 503)
    ├── TimedOutError (TimeoutError) no answer in the time there was
    ├── AnswerError                  what answered is not the service, or not one that this client knows
    └── PartialError                 lines of a stream were refused; the rest was learned from

A message says what was wrong, the value, and the way out. No exception holds a token.
"""

from __future__ import annotations

from typing import Final

from nonzero_client.answers import LabelResult, UpdateResult
from nonzero_client.problems import LineFault, Problem


class ClientError(Exception):
    """Anything that keeps a call from doing what it was asked to: the root of the client's exceptions.

    Attributes
    ----------
    done : UpdateResult, LabelResult or None
        Of a stream that broke off: what the service had answered for before. None: nothing.
    outcome_unknown : bool
        Whether the service may have done what it was asked to, although no answer says so. What was sent with
        a key may be sent again with it.
    key : str
        The idempotency key of what was sent last; empty where it had none.
    problem : Problem or None
        What the service answered last, where that was a problem.
    """

    done: UpdateResult | LabelResult | None = None
    outcome_unknown: bool = False
    key: str = ""
    problem: Problem | None = None


class InputError(ClientError, ValueError):
    """What was given cannot be sent; nothing of it was.

    Attributes
    ----------
    errors : tuple of LineFault
        The examples to blame, by their number from 1; the first hundred.
    """

    errors: tuple[LineFault, ...] = ()


class ProblemError(ClientError):
    """The service answered with a problem.

    Parameters
    ----------
    problem
        What it answered (RFC 9457).
    """

    problem: Problem

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def type(self) -> str:
        """A URI of the kind of problem."""
        return self.problem.type

    @property
    def title(self) -> str:
        """The status in words."""
        return self.problem.title

    @property
    def detail(self) -> str:
        """What was wrong, the value received, the way out."""
        return self.problem.detail

    @property
    def instance(self) -> str:
        """The path of the request."""
        return self.problem.instance

    @property
    def request_id(self) -> str:
        """What the service's log calls the request."""
        return self.problem.request_id

    @property
    def errors(self) -> tuple[LineFault, ...]:
        """The lines to blame; the first hundred."""
        return self.problem.errors


class RefusedError(ProblemError):
    """The service refused the request: sent again it is refused again."""


class UnauthorizedError(RefusedError):
    """There is no token, or one that is not known (401)."""


class ForbiddenError(RefusedError):
    """The token is not for this (403)."""


class NotFoundError(RefusedError):
    """There is no such model, or prediction (404)."""


class ConflictError(RefusedError):
    """It does not go with how things stand (409)."""


class GoneError(RefusedError):
    """The label came too late (410)."""


class TooLargeError(RefusedError):
    """The body is too large (413)."""


class MediaTypeError(RefusedError):
    """The service does not read such bodies (415)."""


class ContentError(RefusedError):
    """The content cannot be used (422); :attr:`errors` names lines."""


class FailedError(ProblemError):
    """The service failed, and waiting does not mend it."""


class FullError(FailedError):
    """The service's disk or memory is full (507)."""


class UnavailableError(ClientError):
    """It could not be done in the time there was: no connection, or the service had too much to do.

    Attributes
    ----------
    retry_after : float or None
        Seconds after which the service says that it may be asked again.
    """

    retry_after: float | None = None


class TimedOutError(ClientError, TimeoutError):
    """There was no answer in the time there was."""


class AnswerError(ClientError):
    """What answered is not the service, or not one that this client knows."""


class PartialError(ClientError):
    """Lines of a stream were refused; all others were learned from, or predicted.

    Parameters
    ----------
    message
        What is said.
    errors
        The refused lines; the first hundred.
    rejected
        How many there are.
    """

    def __init__(self, message: str, errors: tuple[LineFault, ...], rejected: int) -> None:
        super().__init__(message, errors, rejected)
        self.errors = errors
        self.rejected = rejected

    def __str__(self) -> str:
        return str(self.args[0])


KINDS: Final[dict[int, type[ProblemError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    415: MediaTypeError,
    422: ContentError,
    507: FullError,
}


def error_of(problem: Problem) -> ProblemError:
    """Return the exception of a problem, by its status."""
    kind = KINDS.get(problem.status, RefusedError if problem.status < 500 else FailedError)
    return kind(problem)
