"""Tokens: who may do what, from a file of bearer tokens (RFC 6750).

A line is ``SCOPES TOKEN``: one scope, or several with commas between them; a token, or ``sha256:`` and its
digest, so that the file need hold no secret. Several tokens may have one scope, so that one can follow
another while both are known; the file is looked at once a second, so that no change of it needs a restart.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from hmac import compare_digest
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from nonzero.errors import SettingsError

PREDICT: Final = "predict"
IMPRESS: Final = "impress"
UPDATE: Final = "update"
ADMIN: Final = "admin"

INCLUDED: Final = {
    PREDICT: frozenset({PREDICT}),
    IMPRESS: frozenset({IMPRESS, PREDICT}),
    UPDATE: frozenset({UPDATE}),
    ADMIN: frozenset({PREDICT, IMPRESS, UPDATE, ADMIN}),
}
"""What each scope allows."""

TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")
"""At least 16 characters of those that RFC 6750 has: shorter ones can be guessed."""

DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")

LOOK_SECONDS: Final = 1.0


class Token(NamedTuple):
    """What is known of a token: never the token itself."""

    digest: bytes
    scopes: frozenset[str]
    """As the file has them."""
    line: int
    """Where it stands in the file, from 1."""

    def allows(self, scope: str) -> bool:
        """Whether it is good for what needs this scope."""
        return any(scope in INCLUDED[one] for one in self.scopes)

    @property
    def label(self) -> str:
        """What the log calls it; nobody comes in with that."""
        return f"line {self.line}, sha256:{self.digest.hex()[:8]}"


class Tokens:
    """The tokens of a file, as it is now.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    SettingsError
        Where it cannot be read, says something else, or can be written by others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = structlog.get_logger("tokens")
        self._tokens = _read(path)
        self._warn()
        self._seen = _mark(path)
        self._looked = time.monotonic()

    def find(self, authorization: bytes) -> Token | None:
        """Return the token that an Authorization header bears, if it is one of them.

        It takes as long for a right one as for a wrong one: digests are compared, and always all of them.
        """
        self._look()
        scheme, _, token = authorization.partition(b" ")
        digest = hashlib.sha256(token.strip(b" ")).digest()
        found = None
        for one in self._tokens:
            if compare_digest(one.digest, digest):
                found = one
        return found if scheme.lower() == b"bearer" else None

    def _look(self) -> None:
        """Read the file anew where it has changed; what cannot be read changes nothing."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        mark = _mark(self._path)
        if mark == self._seen:
            return
        self._seen = mark
        try:
            self._tokens = _read(self._path)
        except SettingsError as error:
            self._log.error("the tokens stay as they were", reason=str(error))
        else:
            self._log.info("tokens were read", count=len(self._tokens))
            self._warn()

    def _warn(self) -> None:
        """Say so where clients whose predictions used to teach may find that they do not."""
        if all(ADMIN in token.scopes for token in self._tokens):
            return
        if not any(IMPRESS in token.scopes for token in self._tokens):
            self._log.warning(
                "no token has the scope impress",
                file=str(self._path),
                reason="predictions that are sent with an id and a token for predict are not kept, so that "
                "their labels are not known: give the tokens of clients that send ids the scope impress",
            )


def _mark(path: Path) -> tuple[int, ...]:
    """Return what tells one state of a file from another; of one that is not there, nothing."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _read(path: Path) -> tuple[Token, ...]:
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            lines = file.read().splitlines()
    except OSError as error:
        raise SettingsError(f"the token file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the token file {path} is not ASCII") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"the token file {path} can be written by others, who could let themselves in: chmod go-w {path}"
        )
    tokens = [
        _token(line.split(), path, number)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not tokens:
        raise SettingsError(f"the token file {path} has no tokens; a line is: SCOPES TOKEN")
    return tuple(tokens)


def _token(words: list[str], path: Path, number: int) -> Token:
    """Read a line; what it says of the token is not repeated in an error."""
    place = f"{path}, line {number}"
    if len(words) != 2:
        raise SettingsError(f"{place} has {len(words)} words; it is: SCOPES TOKEN")
    scopes = frozenset(words[0].split(","))
    if not scopes <= INCLUDED.keys():
        raise SettingsError(
            f"{place}: the scopes are predict, impress, update and admin, with commas between them"
        )
    if given := DIGEST.fullmatch(words[1]):
        return Token(bytes.fromhex(given[1]), scopes, number)
    if not TOKEN.fullmatch(words[1]):
        raise SettingsError(
            f"{place}: a token has 16 to 512 characters of A-Z a-z 0-9 . _ ~ + / -; "
            "`openssl rand -hex 32` makes one"
        )
    return Token(hashlib.sha256(words[1].encode()).digest(), scopes, number)
