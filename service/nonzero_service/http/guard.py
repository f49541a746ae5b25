"""Guard: which requests come in: whose token allows it, and for which there is room."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from nonzero_service.http.admission import STREAM_BYTES, Admission, Capacity
from nonzero_service.http.head import Head
from nonzero_service.http.origins import Origins
from nonzero_service.http.routing import Need
from nonzero_service.http.tokens import IMPRESS, UPDATE, Tokens
from nonzero_service.media_types import JSON
from nonzero_service.metrics.counts import InFlight
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from nonzero_service.settings.types import is_loopback

MEDIA: Final = JSON.encode()

MAY_NOT_TEACH: Final = "may_not_teach"
"""In the scope of a request: what the log calls its token, where its predictions are not to be kept."""

MAY_NOT_SEE_MESSAGES: Final = "may_not_see_messages"
"""In the scope of a request: that its token may not know what stands in messages of topics."""

REALM: Final = b'Bearer realm="nonzero"'


class Guard:
    """Decides on requests, when their heads have come.

    Parameters
    ----------
    settings
        Who may do what, and how much.
    """

    def __init__(self, settings: Settings) -> None:
        self._tokens = None if settings.token_file is None else Tokens(settings.token_file)
        self._origins = Origins(settings)
        self._capacity = Capacity(settings)
        self._most_body = int(settings.max_body_bytes)

    def in_flight(self) -> InFlight:
        """Return what was let in, and has not ended."""
        return InFlight(self._capacity.requests, self._capacity.bytes)

    def admit(self, scope: Scope, head: Head, need: Need, *, extra: bool) -> Admission:
        """Let a request in.

        Parameters
        ----------
        scope, head
            The request.
        need
            What its route needs.
        extra
            Whether its connection is one too many.

        Raises
        ------
        Problem
            401, 403, 413, 429 or 503.
        """
        client: object = None
        if need.scope is not None:
            client = self._client(scope, head.get(b"authorization"), need.scope)
        if need.work == "operate":
            return Admission(None, None, 0)
        if head.get(b"origin") is not None or head.get(b"host") not in self._origins.passed:
            self._origins.check(scope, head)
        if extra:
            raise Problem(
                503, "there are too many connections; come again", headers=((b"retry-after", b"1"),)
            )
        nbytes = self._size(head)
        self._capacity.enter(client, nbytes, preferred=need.work == "predict")
        return Admission(self._capacity, client, nbytes)

    def _client(self, scope: Scope, authorization: bytes | None, needed: str) -> object:
        """Return whose request it is: a token, or an address of another machine.

        The request is marked with what its token may not do that any request of its route may.
        """
        if self._tokens is None:
            address = scope["client"]
            # Behind a proxy of this machine all are one: tokens tell them apart.
            return None if address is None or is_loopback(address[0]) else address[0]
        if authorization is None:
            raise _unauthorized("this needs a token: send Authorization: Bearer TOKEN", REALM)
        token = self._tokens.find(authorization)
        if token is None:
            raise _unauthorized("this token is not known", REALM + b', error="invalid_token"')
        if needed and not token.allows(needed):
            raise Problem(
                403,
                f"this needs a token for {needed}; yours is for {' and '.join(sorted(token.scopes))}",
                headers=(
                    (
                        b"www-authenticate",
                        REALM + b', error="insufficient_scope", scope="%b"' % needed.encode(),
                    ),
                ),
            )
        if not token.allows(IMPRESS):
            scope[MAY_NOT_TEACH] = token.label
        if not token.allows(UPDATE):
            scope[MAY_NOT_SEE_MESSAGES] = True
        return token.digest

    def _size(self, head: Head) -> int:
        """Return what a request will hold: a JSON body is held whole, of a stream a part."""
        if not head.get(b"content-type", b"").startswith(MEDIA):
            return STREAM_BYTES if head.length is None else min(head.length, STREAM_BYTES)
        if head.length is None:
            return STREAM_BYTES
        if head.length > self._most_body:
            raise Problem(
                413,
                f"a JSON body has at most {self._most_body} bytes, not {head.length}; send a stream of lines",
            )
        return head.length


def _unauthorized(detail: str, challenge: bytes) -> Problem:
    return Problem(401, detail, headers=((b"www-authenticate", challenge),))
