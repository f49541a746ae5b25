"""Guard: which requests come in: whose token allows it, and for which there is room."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from nonzero_service.front.access import MAY_NOT_TEACH, need_of
from nonzero_service.front.admission import STREAM_BYTES, Admission
from nonzero_service.front.heads import Head
from nonzero_service.front.origins import Origins
from nonzero_service.front.tokens import IMPRESS, Tokens
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from nonzero_service.wire.headers import JSON

__all__ = ["Guard", "Pass"]

MEDIA: Final = JSON.encode()
REALM: Final = b'Bearer realm="nonzero"'


class Pass:
    """What a request was let in with.

    Parameters
    ----------
    admission
        Where it counts; None where it does not.
    client
        Whose it is.
    nbytes
        What it holds.
    work
        What it counts as.
    """

    __slots__ = ("_admission", "_client", "nbytes", "work")

    def __init__(self, admission: Admission | None, client: object, nbytes: int, work: str) -> None:
        self._admission = admission
        self._client = client
        self.nbytes = nbytes
        self.work = work

    def hold(self, nbytes: int) -> None:
        """Hold so much in all, where it is more than before.

        Raises
        ------
        Problem
            503, where there is no room for it.
        """
        if self._admission is not None and nbytes > self.nbytes:
            self._admission.hold(nbytes - self.nbytes)
            self.nbytes = nbytes

    def end(self) -> None:
        """Give back what was held."""
        if self._admission is not None:
            self._admission.leave(self._client, self.nbytes)
            self._admission = None


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
        self._admission = Admission(settings)
        self._most_body = int(settings.max_body_bytes)

    def admit(self, scope: Scope, head: Head, *, extra: bool) -> Pass:
        """Let a request in.

        Parameters
        ----------
        scope, head
            The request.
        extra
            Whether its connection is one too many.

        Raises
        ------
        Problem
            401, 403, 413, 429 or 503.
        """
        need = need_of(scope["method"], scope["path"])
        client: object = None
        if need.scope is not None:
            client = self._client(scope, head.authorization, need.scope)
        if need.work == "operate":
            return Pass(None, None, 0, need.work)
        if head.origin is not None or head.host not in self._origins.passed:
            self._origins.check(scope, head)
        if extra:
            raise Problem(
                503, "there are too many connections; come again", headers=((b"retry-after", b"1"),)
            )
        nbytes = self._size(head)
        self._admission.enter(client, nbytes, preferred=need.work == "predict")
        return Pass(self._admission, client, nbytes, need.work)

    def _client(self, scope: Scope, authorization: bytes | None, needed: str) -> object:
        """Return whose request it is: a token, or an address of another machine.

        The request is marked where its token may not teach by predictions.
        """
        if self._tokens is None:
            address = scope["client"]
            # Behind a proxy of this machine all are one: tokens tell them apart.
            return None if address is None or _is_loopback(address[0]) else address[0]
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
        return token.digest

    def _size(self, head: Head) -> int:
        """Return what a request will hold: a JSON body is held whole, of a stream a part."""
        if not head.media.startswith(MEDIA):
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


@lru_cache(1024)
def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or ipaddress.ip_address(address.partition("%")[0]).is_loopback
