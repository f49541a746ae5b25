"""Logs: structlog, JSON lines on standard error (or text for people); the server's own are like them.

Logging never waits and never raises (:mod:`~nonzero_service.logs.sink`), and tells nothing of bodies and
tokens (:mod:`~nonzero_service.logs.rendering`). All that a process says on standard error goes the same way.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor

from nonzero_service.logs.rendering import described, failure, rendered_json, told_exception
from nonzero_service.logs.sink import Sink
from nonzero_service.logs.standard import install

__all__ = ["configure", "described", "dropped", "failure", "flush"]

STANDARD_ERROR: Final = 2

FLUSH_SECONDS: Final = 0.5
"""How long the end of the process waits for whoever reads the log."""

_sinks: list[Sink] = []
"""The one of this process, once logging is set up."""


def configure(
    level: Literal["debug", "info", "warning", "error"], form: Literal["json", "text"], **always: Any
) -> None:
    """Set logging up for this process.

    Parameters
    ----------
    level
        From which on events are told.
    form
        JSON lines, or text for people.
    **always
        What every line of this process says.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]

    def add_always(_: Any, __: str, event: EventDict) -> EventDict:
        return {**event, **always}

    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_always,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(told_exception),
        _json if form == "json" else _text(),
    ]

    def line(level: str, event: EventDict) -> bytes:
        rendered: Any = event
        for process in processors:
            rendered = process(None, level, rendered)
        return bytes(rendered) + b"\n"

    sink = _sink()
    sink.say_lost = lambda count: line("warning", {"event": "log lines were lost", "lines": count})
    structlog.configure(
        processors=processors,
        wrapper_class=_never_raising(threshold, sink),
        logger_factory=lambda *_: _SinkLogger(sink),
        cache_logger_on_first_use=True,
    )
    install(sink, line, max(threshold, logging.WARNING))


def flush(seconds: float = FLUSH_SECONDS) -> None:
    """Wait until what was logged is written, but so long at most: for the end of the process.

    Where that is too short nobody takes the log, and it is not waited for again.
    """
    if all(sink.flush(seconds) for sink in _sinks):
        return
    atexit.unregister(flush)


def dropped() -> int:
    """Return how many log lines of this process were lost."""
    return sum(sink.dropped for sink in _sinks)


def _sink() -> Sink:
    if not _sinks:
        if sys.stderr is None:  # it was closed: what is opened next may have its number, and is no log
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lasts
            _sinks.append(Sink(sys.stderr.fileno()))
        else:
            _sinks.append(Sink(STANDARD_ERROR))
        atexit.register(flush)
    return _sinks[0]


class _SinkLogger:
    """What structlog hands rendered events to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: bytes) -> None:
        self._sink.put(line + b"\n")

    debug = info = warning = error = critical = exception = msg


def _never_raising(threshold: int, sink: Sink) -> type[Any]:
    """Return structlog's logger of a threshold, except that it does not raise."""
    filtering: Any = structlog.make_filtering_bound_logger(threshold)

    class NeverRaising(filtering):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **about: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, **about)
            except Exception:  # noqa: BLE001 - what is logged may come between a write and its answer
                sink.drop(1)

    return NeverRaising


def _json(_: Any, __: str, event: EventDict) -> bytes:
    return rendered_json(event)


def _text() -> Processor:
    """Return what renders an event for people."""
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )

    def render(logger: Any, name: str, event: EventDict) -> bytes:
        told = {
            key: described(value) if isinstance(value, BaseException) else value
            for key, value in event.items()
        }
        trace = _traced(told.pop("exception", ()), "  ")
        try:
            shown = str(console(logger, name, told))
        except Exception:  # noqa: BLE001 - the code of a value makes its text
            return rendered_json(event)
        return "\n".join([shown, *trace]).encode("utf-8", "backslashreplace")

    return render


def _traced(trace: Any, indent: str) -> list[str]:
    lines = []
    for one in trace:
        lines.append(f"{indent}{one['exc_type']}: {one['exc_value']}")
        lines += (f"{indent}  {at['filename']}:{at['lineno']} in {at['name']}" for at in one["frames"])
        lines += _traced(one.get("exceptions", ()), indent + "  ")
    return lines
