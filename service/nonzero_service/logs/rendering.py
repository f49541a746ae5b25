"""What a log line says of an event, and what it does not: no local variables, no bodies, no tokens.

The message of an exception may quote what a client sent: ``float("...")`` and ``{}["..."]`` do. So it is
told only where it cannot: where it is this service's own about itself or the disk, the operating system's,
about names in code, or the very text that stands in the code that raised it. Of every other exception its
kind is told, and where it was raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

import msgspec
from structlog.typing import EventDict, ExcInfo

from nonzero.errors import InputError, NonzeroError, SettingsError

OF_CODE: Final = (
    OSError,
    AttributeError,
    ImportError,
    MemoryError,
    NameError,
    RecursionError,
    ZeroDivisionError,
)
"""What these say is of files, names, types and sizes."""

MOST_FRAMES: Final = 40
"""Frames that are told of an exception: the first half and the last."""

MOST_EXCEPTIONS: Final = 10
"""Exceptions that are told of a chain and of a group."""

UNRENDERABLE: Final = b'{"event":"an event could not be rendered","level":"error"}'


def described(error: BaseException) -> str:
    """Return what an exception says; only its kind where that might quote what a client sent.

    Parameters
    ----------
    error
        Any.

    Returns
    -------
    str
        Never empty.
    """
    kind = type(error).__name__
    try:
        told = str(error)
    except Exception:  # noqa: BLE001 - its own code makes the text
        return kind
    if isinstance(error, NonzeroError):
        safe = not isinstance(error, InputError) or isinstance(error, SettingsError)
    else:
        safe = not told or isinstance(error, OF_CODE) or _stands_in_code(error, told)
    if not safe:
        return f"{kind} (what it says is left out: it may quote a request)"
    return told or kind


def failure(error: BaseException) -> dict[str, Any]:
    """Return what a log line says of a failure: why, and its trace where it is a defect of ours.

    Examples
    --------
    >>> failure(OSError("the disk is away"))
    {'reason': 'the disk is away', 'exc_info': None}
    """
    known = isinstance(error, NonzeroError | OSError)
    return {"reason": described(error), "exc_info": None if known else error}


def told_exception(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """Return an exception and what it came from as plain data, the newest first.

    Parameters
    ----------
    exc_info
        Its type, itself, its traceback.
    """
    told: list[dict[str, Any]] = []
    seen: set[int] = set()
    _tell(exc_info[1], told, seen)
    return told


def _tell(error: BaseException | None, told: list[dict[str, Any]], seen: set[int]) -> None:
    is_cause = False
    while error is not None and id(error) not in seen and len(seen) < MOST_EXCEPTIONS:
        seen.add(id(error))
        one = {
            "exc_type": type(error).__name__,
            "exc_value": described(error),
            "is_cause": is_cause,
            "frames": [*frames_of(error.__traceback__)],
        }
        if isinstance(error, BaseExceptionGroup):
            inner: list[dict[str, Any]] = []
            one["exceptions"] = inner
            for member in error.exceptions:
                _tell(member, inner, seen)
        told.append(one)
        is_cause = error.__cause__ is not None
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def frames_of(trace: TracebackType | None) -> Iterator[dict[str, Any]]:
    """Yield where an exception passed: file, line and function of each frame."""
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append({"filename": code.co_filename, "lineno": trace.tb_lineno, "name": code.co_name})
        trace = trace.tb_next
    half = MOST_FRAMES // 2
    yield from frames[:half]
    if left_out := max(0, len(frames) - MOST_FRAMES):
        yield {"filename": "", "lineno": -1, "name": f"{left_out} frames are left out"}
    yield from frames[max(half, len(frames) - half) :]


def rendered_json(event: EventDict) -> bytes:
    """Return an event as JSON, whatever is in it."""
    with suppress(Exception):
        return msgspec.json.encode(event, enc_hook=_shown)
    with suppress(Exception):  # text that is no UTF-8, large integers, odd keys
        return json.dumps(event, default=_shown, skipkeys=True, ensure_ascii=False).encode("utf-8", "replace")
    return UNRENDERABLE


def _shown(value: object) -> str:
    """Return what stands for an object that JSON does not have."""
    if isinstance(value, BaseException):
        return described(value)
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - its own code makes the text
        return f"<{type(value).__name__}>"


def _stands_in_code(error: BaseException, told: str) -> bool:
    """Whether what an exception says is a constant of the function that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and told in trace.tb_frame.f_code.co_consts
