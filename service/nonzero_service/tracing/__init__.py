"""Traces: what a request says of the trace that it belongs to, and spans for OpenTelemetry.

As the log, the tracer is the process's: :func:`configure` makes it, once, and :func:`tracer` returns it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from nonzero_service.tracing.tracer import Tracer

__all__ = ["configure", "current_span", "shutdown", "tracer"]

current_span: Final[ContextVar[Any]] = ContextVar("current_span", default=None)
"""The span of the request that is being answered; None where there is none."""

_tracers: list[Tracer] = []
"""The one of this process, where there is one."""


def configure(**process: str | int) -> None:
    """Have spans made in this process from now on.

    Parameters
    ----------
    **process
        What every span says of the process.

    Raises
    ------
    SettingsError
        Where the extra is not installed, or a variable ``OTEL_*`` says what cannot be done.
    """
    _tracers[:] = [Tracer(process)]


def tracer() -> Tracer | None:
    """Return what makes spans; None where none are made."""
    return _tracers[0] if _tracers else None


def shutdown() -> None:
    """Send what has not been sent, at the end of the process; whoever takes it has a second."""
    while _tracers:
        _tracers.pop().shutdown()
