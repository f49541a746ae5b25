"""Trace context: the header ``traceparent`` of W3C, https://www.w3.org/TR/trace-context/#traceparent-header."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
"""Version, trace id, span id, flags; versions after 00 may say more, behind a hyphen."""

SAMPLED: Final = 1
"""The flag that says that the caller may have recorded its span."""


class TraceContext(NamedTuple):
    """The span that a request was made in."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    flags: int = 0

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded it."""
        return bool(self.flags & SAMPLED)


def read_traceparent(value: bytes) -> TraceContext | None:
    """Return what a header says; None where it is not valid, which counts as if it were not there.

    Parameters
    ----------
    value
        The header's value.

    Examples
    --------
    >>> read_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").sampled
    True
    >>> read_traceparent(b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01") is None
    True
    """
    found = TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if more is not None and version == b"00":
        return None
    return TraceContext(trace_id.decode(), span_id.decode(), int(flags, 16))
