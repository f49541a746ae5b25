"""One shape for every error: ``application/problem+json`` (RFC 9457), but for paths of other protocols.

``type, title, status, detail, instance``, the ``request_id`` that the log has too, and ``errors`` where lines
are to blame. A domain error becomes a problem here and nowhere else; a body never holds a traceback.
"""

from __future__ import annotations

import errno
import http
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import Scope

from nonzero.errors import FormatError, InputError, LineError, SnapshotError
from nonzero_service.errors import (
    ChallengerSettingsError,
    ConflictError,
    KeyInFlightError,
    KeyReusedError,
    NotNowError,
    TooLargeError,
    UnknownModelError,
)
from nonzero_service.journal.descriptors import SHORTAGE, shortage_message
from nonzero_service.journal.errors import (
    CommitLostError,
    DiskFullError,
    FencedError,
    JournalBusyError,
    JournalClosedError,
    JournalDivergedError,
    JournalFailedError,
    JournalReadOnlyError,
    JournalUnreachableError,
    NoDescriptorsError,
    OutcomeUnknownError,
    StorageError,
)

MAX_ERRORS: Final = 100
"""How many bad lines are named; all are counted."""

LONGEST: Final = 4000
"""A detail of more characters is cut: it may quote what was sent, and that may be the whole body."""

RETRY: Final = ((b"retry-after", b"1"),)
"""Headers of an answer after which the same may be tried again."""

FULL: Final = "the disk is full; nothing more is learned until there is room"

READ_ONLY: Final = (
    "the disk can only be read: nothing is made, changed or deleted until it is mounted for writing"
)

NO_THREADS: Final = "can't start new thread"
"""What Python says where the system gives no more threads."""

NO_MEMORY: Final = "there is not enough memory for this; send less at once, or take a smaller model"

UNKNOWN: Final = (
    "the outcome is unknown, because something failed when it may have been kept; send the request again "
    "in a moment, with the same Idempotency-Key: what was kept of it is recognised"
)

DAMAGED: Final = "what is kept on disk cannot be used; the service's log has the cause under this request_id"


class ErrorForm(Enum):
    """In which protocol an error is told."""

    PROBLEM = "RFC 9457"
    OPEN_INFERENCE = "Open Inference Protocol"
    MLFLOW = "MLflow"


OF_MLFLOW: Final = frozenset({"/invocations", "/ping", "/health", "/version"})
"""The paths of MLflow's scoring protocol."""

CODES: Final[Mapping[int, str]] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    507: "RESOURCE_EXHAUSTED",
}
"""What MLflow calls a status; every other is ``BAD_REQUEST``."""

STATUS: Final[Mapping[type[Exception], int]] = {
    UnknownModelError: 404,
    ConflictError: 409,
    TooLargeError: 422,
    KeyReusedError: 422,
    ChallengerSettingsError: 422,
    InputError: 422,
    SnapshotError: 422,
    NotNowError: 503,
    JournalBusyError: 503,
    JournalUnreachableError: 503,
    JournalReadOnlyError: 503,
    JournalDivergedError: 503,
    FencedError: 503,
    JournalFailedError: 503,
    JournalClosedError: 503,
    NoDescriptorsError: 507,
}
"""How the domain's errors are answered, with their own words."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An error as it is answered.

    Parameters
    ----------
    status
        The HTTP status.
    detail
        What was wrong, the value received, the way out.
    errors
        The lines to blame: as many as given, which is for the caller to bound.
    headers
        More headers of the answer.
    members
        More members of the body.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[LineError] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail if len(detail) <= LONGEST else f"{detail[:LONGEST]}..."
        self.errors = errors
        self.headers = headers
        self.members = members

    @property
    def says_all(self) -> bool:
        """Whether it says all that there is to say, so that the log need not have a cause."""
        return self.status in (503, 507) and self.detail not in (UNKNOWN, DAMAGED)

    def body(self, scope: Scope) -> bytes:
        """Return the JSON of the answer to one request."""
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": scope["path"],
            "request_id": scope["request_id"],
            **self.members,
        }
        if self.errors:
            content["errors"] = [{"line": line, "reason": reason} for line, reason in self.errors]
        return msgspec.json.encode(content)

    def answer(self, scope: Scope) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Return the headers and the body of the answer to one request."""
        match form_of(scope["path"]):
            case ErrorForm.PROBLEM:
                media, body = b"application/problem+json", self.body(scope)
            case ErrorForm.OPEN_INFERENCE:
                media, body = b"application/json", msgspec.json.encode({"error": self.detail})
            case ErrorForm.MLFLOW:
                told = {"error_code": CODES.get(self.status, "BAD_REQUEST"), "message": self.detail}
                media, body = b"application/json", msgspec.json.encode(told)
        headers = [
            (b"content-type", media),
            (b"content-length", b"%d" % len(body)),
            *self.headers,
            (b"x-request-id", scope["request_id"].encode()),
        ]
        return headers, body


def form_of(path: str) -> ErrorForm:
    """Return how errors are told that are met on a path."""
    if path == "/v2" or path.startswith("/v2/"):
        return ErrorForm.OPEN_INFERENCE
    return ErrorForm.MLFLOW if path in OF_MLFLOW else ErrorForm.PROBLEM


def problem_of(error: Exception) -> Problem:
    """Return how an exception is answered: what is not known to us is 500 and says nothing of its inside."""
    match error:
        case Problem():
            return error
        case FormatError():
            return Problem(422, str(error), errors=error.lines)
        case CommitLostError():
            return Problem(503, str(error), headers=RETRY)
        case OutcomeUnknownError():
            return Problem(503, UNKNOWN, headers=RETRY)
        case HTTPException():
            headers = [
                (name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()
            ]
            return Problem(error.status_code, _explained(error), headers=headers)
    return _of_want(error) or _of_kind(error)


def _of_want(error: Exception) -> Problem | None:
    """Return how it is answered that the system has no more of something; None of another error."""
    match error:
        case MemoryError() | OSError(errno=errno.ENOMEM):
            return Problem(507, NO_MEMORY)
        case DiskFullError() | OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Problem(507, FULL)
        case OSError(errno=errno.EROFS):
            return Problem(507, READ_ONLY)
        case OSError() if error.errno in SHORTAGE:
            return Problem(503, shortage_message("this cannot be done now"), headers=RETRY)
        case RuntimeError(args=(str(said),)) if said == NO_THREADS:
            return Problem(507, "the system gives this service no more threads; have fewer models")
    return None


def _of_kind(error: Exception) -> Problem:
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            again = status == 503 or isinstance(error, KeyInFlightError)
            return Problem(status, str(error), headers=RETRY if again else ())
    if isinstance(error, StorageError):
        return Problem(503, DAMAGED, headers=RETRY)
    return Problem(500, "the service failed; its log has the cause under this request_id")


def _explained(error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return "no such path; /docs shows them all, and GET /openapi.json lists them"
        case 405:
            return f"this path takes {(error.headers or {}).get('Allow', 'another method')}"
        case _:
            return error.detail
