"""What others say in the standard library's ways, brought to the same log.

These are ``logging`` (uvicorn, asyncio and the journal use it), warnings, and what Python itself would print
of an exception that nobody caught.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any, Final, TextIO

from structlog.typing import EventDict

from nonzero_service.logs.rendering import described
from nonzero_service.logs.sink import Sink

Line = Callable[[str, EventDict], bytes]

QUOTED: Final = re.compile(r"[(<\n]|functools")
"""Where a message of asyncio begins to quote objects: calls with their arguments, results of tasks."""

OF_CODE: Final = (DeprecationWarning, ResourceWarning, RuntimeWarning)
"""Warnings whose text is of code; that of others may quote what it was given."""


def install(sink: Sink, line: Line, level: int) -> None:
    """Bring everything that is said in these ways to a sink.

    Parameters
    ----------
    sink
        Where the lines go.
    line
        Makes one of a level and an event.
    level
        From which on ``logging`` tells.
    """

    def say(name: str, event: EventDict) -> None:
        try:
            sink.put(line(name, event))
        except Exception:  # noqa: BLE001 - whoever logs gets no error
            sink.drop(1)

    root = logging.getLogger()
    root.handlers[:] = [_Handler(sink, say)]
    root.setLevel(level)
    logging.raiseExceptions = False

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 - as the standard library calls it
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        about = {"category": category.__name__, "filename": filename, "lineno": lineno}
        if issubclass(category, OF_CODE):
            about["text"] = str(message)
        say("warning", {"event": "a library warns", **about})

    def uncaught(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        say("critical", {"event": "the process failed", "exc_info": (kind, error, trace)})

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = args.thread.name if args.thread is not None else None
            say("error", {"event": "a thread failed", "thread": name, "exc_info": args.exc_value})

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        say("error", {"event": "an error could not be raised", "exc_info": args.exc_value})

    warnings.showwarning = warned
    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable


class _Handler(logging.Handler):
    """Hands what was said by ``logging`` on."""

    def __init__(self, sink: Sink, say: Callable[[str, EventDict], None]) -> None:
        super().__init__()
        self._sink = sink
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: EventDict = {"event": _message(record)}
            if record.exc_info:
                event["exc_info"] = record.exc_info
        except Exception:  # noqa: BLE001 - a message that does not fit what is said with it
            self._sink.drop(1)
        else:
            self._say(record.levelname.lower(), event)


def _message(record: logging.LogRecord) -> str:
    """Return what a record says, without what it may quote."""
    if isinstance(record.msg, BaseException):
        return described(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(_told(arg) for arg in record.args)
    said = record.getMessage()
    if record.name.startswith("asyncio"):
        return QUOTED.split(said, maxsplit=1)[0].strip()
    return said


def _told(arg: Any) -> Any:
    return described(arg) if isinstance(arg, BaseException) else arg
