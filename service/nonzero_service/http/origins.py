"""Origins: what pages in a browser may have it ask of the service.

A browser on a machine that reaches the service sends what any page tells it to. Such a page may not read the
answer, but the request has been answered. So a request that may change something comes from the service's
own page, or from none (``Origin``; RFC 6454).

And a page's author may have the name of their own site lead to this machine's loopback (DNS rebinding): then
the page is the service's own, as far as the browser knows, and reads answers too. That name is in ``Host``. A
service that nothing else guards answers only to names that nobody else gives out.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from nonzero_service.http.head import Head
from nonzero_service.http.routing import READING
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from nonzero_service.settings.types import is_loopback

PORTS: Final = {"http": "80", "https": "443"}
"""The port that goes without saying."""

REMEMBERED: Final = 256
"""So many values of ``Host`` are looked at once only."""

SHOWN: Final = 100
"""So much of a value is repeated in a problem, in characters."""


class Origins:
    """Decides which ``Host`` and which ``Origin`` a request may have.

    Parameters
    ----------
    settings
        Who may come in, and under which names.
    """

    def __init__(self, settings: Settings) -> None:
        self._names = frozenset(settings.allowed_host_names)
        self._guarded = settings.token_file is not None
        self._open = settings.allow_open == "on"
        self.passed: set[bytes | None] = set()
        """Values of ``Host`` with which a request without an ``Origin`` passes."""

    def check(self, scope: Scope, head: Head) -> None:
        """Check a request.

        Raises
        ------
        Problem
            403.
        """
        host, origin = head.get(b"host"), head.get(b"origin")
        # Where it is open programs may call the service as they like, and only browsers are asked.
        asked = not self._guarded and (not self._open or origin is not None)
        name = _name_of((host or b"").decode())
        if asked and host is not None and name not in self._names and not is_loopback(name):
            raise Problem(
                403,
                f"the Host is {_shown(host)}, and this service is localhost, 127.0.0.1 or [::1]; "
                f"if that is one of its names, start it with {self._way_out(name)}",
            )
        if origin is not None and scope["method"] not in READING and not self._is_own(head, host, origin):
            name = _name_of(origin.decode("latin-1").partition("://")[2])
            way_out = f"; if it is to, start the service with {self._way_out(name)}" if name else ""
            raise Problem(
                403,
                f"the Origin is {_shown(origin)}, and the Host {_shown(host or b'')}: "
                f"a page of another site changes nothing here{way_out}",
            )
        if origin is None and len(host or b"") <= SHOWN:
            if len(self.passed) >= REMEMBERED:
                self.passed.clear()
            self.passed.add(host)

    def _is_own(self, head: Head, host: bytes | None, origin: bytes) -> bool:
        """Whether a page is of this service, or of a site that was named."""
        scheme, _, place = origin.decode("latin-1").lower().partition("://")
        if (
            host is not None
            and place
            and _with_port(place, scheme) == _with_port(host.decode().lower(), scheme)
        ):
            return True
        # Behind a proxy the Host may be another. The browser knows whom it asks, and no page can say this.
        return _name_of(place) in self._names or head.get(b"sec-fetch-site") == b"same-origin"

    def _way_out(self, name: str) -> str:
        names = sorted(self._names | {name[:SHOWN]} - {""})
        return f"--allowed-hosts {','.join(names) or 'NAME'} (NONZERO_ALLOWED_HOSTS)"


def _name_of(place: str) -> str:
    """Return the name or address in front of a port, lower case; an IPv6 address without its brackets."""
    place = place.lower()
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def _with_port(place: str, scheme: str) -> str:
    """Return a place with its port."""
    name, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        return f"{place}:{PORTS.get(scheme, '')}"
    return f"{name}:{port or PORTS.get(scheme, '')}"


def _shown(value: bytes) -> str:
    text = value.decode("latin-1")
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
