"""What all calls have in common: paths, bodies, answers."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final, Literal

from nonzero_client.batches import MEDIA_TYPES, Batch, Source, example_batches, line_batches
from nonzero_client.errors import AnswerError, InputError
from nonzero_client.exchange import Exchange
from nonzero_client.messages import Answer, Request

Refused = Literal["raise", "report"]
Format = Literal["ndjson", "vw", "libsvm"]

JSON: Final = "application/json"
NDJSON: Final = MEDIA_TYPES["ndjson"]

MODEL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


KEY: Final = re.compile(r"[!-~]([ -~]*[!-~])?")

KEY_LENGTH: Final = 255
STREAM_KEY_LENGTH: Final = 235
"""A stream's key leaves room for the numbers of its batches."""


class Asking:
    """What asks the service, over an exchange.

    Parameters
    ----------
    exchange
        Sends requests.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def _read(self, path: str, deadline: float | None) -> Any:
        return json_of(await self._exchange.send(Request("GET", path), deadline))

    def _batches(self, source: Source, media_type: str | None, size: int) -> AsyncIterator[Batch]:
        if not (isinstance(size, int) and size > 0):
            raise InputError(f"batch_size is {size!r}; it is a whole number above 0")
        if media_type is None:
            return example_batches(source, size)
        return line_batches(source, size, self._exchange.driver.aside)


def path_of(model: str, *rest: str) -> str:
    """Return the path of a model.

    Raises
    ------
    InputError
        Where it is no name of a model: no path of another kind can be made of one.
    """
    if not isinstance(model, str) or not MODEL.fullmatch(model):
        raise InputError(
            f"the model is named {model!r:.80}; a name has up to 64 characters of a-z 0-9 _ -, and begins "
            "with a letter or a digit"
        )
    return "/".join(("/v1/models", model, *rest))


def key_of(given: str | None, most: int) -> str:
    """Return the idempotency key of a call: as it was given, or a new one.

    Raises
    ------
    InputError
        Where what was given is no key that comes through HTTP as it is.
    """
    if given is None:
        return uuid.uuid4().hex
    if not isinstance(given, str) or not KEY.fullmatch(given) or len(given) > most:
        raise InputError(
            f"the key is {given!r:.80}; it has 1 to {most} printable ASCII characters, and no space at its "
            "ends"
        )
    return given


def members_of(name: bytes, lines: list[bytes]) -> bytes:
    """Return the JSON body of several examples, or labels."""
    return b'{"%s":[%s]}' % (name, b",".join(lines))


def flag_of(name: str, value: bool) -> dict[str, str]:
    """Return a query that sets a flag, or none."""
    return {name: "true"} if value else {}


def json_of(answer: Answer) -> Any:
    """Return the JSON object of an answer.

    Raises
    ------
    AnswerError
        Where it has none.
    """
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        shown = answer.body[:80].decode(errors="replace")
        raise AnswerError(f"the answer is no JSON object, but {shown!r}; is this the address of Nonzero?")
    return found
