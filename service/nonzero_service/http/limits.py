"""Limits: what one connection may take of the service."""

from __future__ import annotations

from typing import Final

BUFFER: Final = 1 << 16
"""Bytes of a body that wait where no room was given to it; beyond that the client waits."""

PIPELINED: Final = 64
"""Requests that may be sent ahead of the answers to earlier ones."""

EXTRA: Final = 256
"""So many connections beyond the limit are answered that there are too many, and may ask for ``/healthz``.
Further ones are cut."""

ASK_SECONDS: Final = 1.0
"""A client that has ended its side and waits is asked so often whether it is still there."""

LINGER_SECONDS: Final = 2.0
"""A refused client is listened to for so long: a connection that is closed at once loses what was written."""

LINGER_BYTES: Final = 1 << 20
"""So much of a body is passed over after its request was answered; then the connection ends."""
