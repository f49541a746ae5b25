"""What all calls have in common: paths, bodies, answers."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, Literal

from nonzero_client.batches import Batch, example_batches, line_batches
from nonzero_client.columns import Columns
from nonzero_client.errors import (
    AnswerError,
    ClientError,
    ContentError,
    InputError,
    MediaTypeError,
    TooLargeError,
)
from nonzero_client.exchange import Exchange
from nonzero_client.messages import Answer, Request
from nonzero_client.rows import is_frame
from nonzero_client.sources import COLUMNAR, MEDIA_TYPES, TABLES, Source, format_of
from nonzero_client.table_batches import record_batches, table_batches

Refused = Literal["raise", "report"]
Format = Literal["ndjson", "vw", "libsvm", "csv", "tsv", "parquet", "arrow"]

JSON: Final = "application/json"

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

    def _batches(
        self, source: Source, form: str | None, size: int, columns: Columns, *, labelled: bool
    ) -> AsyncIterator[Batch]:
        """Cut a stream of examples, lines or rows of a table into batches.

        Parameters
        ----------
        source
            What was given.
        form
            The format that was named.
        size
            So many are a batch.
        columns
            What is said of a table's columns.
        labelled
            Whether it is to be learned from.
        """
        if not (isinstance(size, int) and size > 0):
            raise InputError(f"batch_size is {size!r}; it is a whole number above 0")
        aside = self._exchange.driver.aside
        if form is None and is_frame(source):
            return table_batches(source, size, aside, columns, labelled=labelled)
        form = format_of(source, form)
        if form in TABLES:
            return record_batches(source, size, aside, form, columns)
        if form in COLUMNAR and isinstance(source, str | os.PathLike):
            return table_batches((Path(source), form), size, aside, columns, labelled=labelled)
        columns.refuse("an example has members of its own; from_rows(..., label=...) makes some of mappings")
        if form is None:
            return example_batches(source, size)
        return line_batches(source, size, aside, MEDIA_TYPES[form])

    async def _sent(
        self,
        batch: Batch,
        request_of: Callable[[Batch], Request],
        deadline: float | None,
        answer_of: Callable[[ClientError], Answer | None] = lambda _: None,
    ) -> tuple[Batch, Answer | None]:
        """Send a batch of a stream: as lines, where it is not taken as Arrow or rows of it are refused.

        Parameters
        ----------
        batch
            The batch.
        request_of
            Makes the request.
        deadline
            Its seconds.
        answer_of
            Returns what a refusal answers, where that is no end of the stream.

        Returns
        -------
        tuple
            The batch as it was sent, and the answer; None where there was nothing to send.
        """
        if not batch.numbers and not batch.head:
            return batch, None
        try:
            return batch, await self._exchange.send(request_of(batch), deadline)
        except (ContentError, MediaTypeError, TooLargeError) as error:
            if batch.as_lines is None:
                answer = answer_of(error)
                if answer is None:
                    raise
                return batch, answer
        return await self._sent(batch.as_lines(), request_of, deadline, answer_of)

    async def _sent_whole(
        self, batch: Batch, request_of: Callable[[Batch], Request], deadline: float | None
    ) -> Answer:
        """Send a batch that is taken as a whole or not at all; as JSON, where the service reads no Arrow."""
        try:
            return await self._exchange.send(request_of(batch), deadline)
        except MediaTypeError:
            if batch.as_lines is None:
                raise
        return await self._exchange.send(request_of(batch.as_lines()), deadline)


def whole_body(batch: Batch) -> bytes:
    """Return the body of a batch that is taken as a whole."""
    return batch.arrow or members_of(b"examples", batch.lines)


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


def sequence_of(given: int | None) -> int | None:
    """Return the sequence that a call asks for, or None.

    Raises
    ------
    InputError
        Where what was given is none.
    """
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 0):
        raise InputError(
            f"min_sequence is {given!r:.80}; it is a whole number, as `sequence` of an answer is"
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
