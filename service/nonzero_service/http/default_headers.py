"""DefaultHeaders: what every answer says, whoever made it: the date, and what a browser may do with it."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Final

POLICY: Final = b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
"""Nothing of an answer is ever run or shown within another page; ``/docs`` has a policy of its own."""

CACHE: Final = b"cache-control: no-store\r\n"
"""What a model says now is not what it says a moment later."""

ALWAYS: Final = (
    b"x-content-type-options: nosniff\r\nx-frame-options: DENY\r\nreferrer-policy: no-referrer\r\n"
)

ENCRYPTED: Final = b"strict-transport-security: max-age=31536000\r\n"


class DefaultHeaders:
    """The last lines of a head.

    Parameters
    ----------
    encrypted
        Whether the service is spoken to by TLS.
    """

    def __init__(self, *, encrypted: bool) -> None:
        self._always = ALWAYS + (ENCRYPTED if encrypted else b"")
        self._second = 0
        self._date = b""

    def __call__(self, *, own_policy: bool = False, own_cache: bool = False) -> bytes:
        """Return them; without those that an answer has of its own."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode() + self._always
            self._common = self._date + CACHE + POLICY + b"\r\n"
        if not own_policy and not own_cache:
            return self._common
        return self._date + (b"" if own_cache else CACHE) + (b"" if own_policy else POLICY) + b"\r\n"
