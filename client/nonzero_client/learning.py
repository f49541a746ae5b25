"""Learning: updates, and labels that come later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from nonzero_client.answers import LabelResult, UpdateResult
from nonzero_client.asking import (
    JSON,
    KEY_LENGTH,
    NDJSON,
    STREAM_KEY_LENGTH,
    Asking,
    Format,
    Refused,
    json_of,
    key_of,
    members_of,
    path_of,
)
from nonzero_client.batches import BATCH_LINES, Batch, Example, Source, all_examples, media_type_of
from nonzero_client.errors import ConflictError, ContentError, InputError
from nonzero_client.messages import Answer, Request
from nonzero_client.problems import NAMED
from nonzero_client.totals import KNOWN, add_labels, add_update, broken_off, checked, update_result


class Learning(Asking):
    """Calls that a model learns from."""

    async def update(
        self,
        examples: Example | Iterable[Example],
        *,
        model: str = "default",
        key: str | None = None,
        deadline: float | None = None,
    ) -> UpdateResult:
        """Learn from examples, in order: from all of them, or from none.

        They are one request with one key. However often it has to be sent, each example is learned from once.

        Parameters
        ----------
        examples
            One example or several, such as ``{"features": {"site": "news"}, "label": 1}``; of a DataFrame
            those of :func:`from_rows`.
        model
            The model's name.
        key
            The idempotency key, up to 255 characters; a new one where it is not given. Give your own where a
            later run may have to send the same examples again.
        deadline
            Seconds in which it must be answered, however often it is tried; None: as the client says.

        Returns
        -------
        UpdateResult
            What became of them.

        Raises
        ------
        InputError
            Where an example cannot be sent; nothing was.
        ContentError
            Where the service refuses one: ``errors`` names every bad one, and nothing is learned.
        ClientError
            For any other end. Where ``outcome_unknown`` is true, send the same again with its ``key``.

        Examples
        --------
        >>> client.update([{"features": {"site": "news"}, "label": 1}]).accepted
        1
        """
        name = key_of(key, KEY_LENGTH)
        lines = list(all_examples(examples))
        request = Request(
            "POST",
            path_of(model, "update"),
            body=members_of(b"examples", lines),
            media_type=JSON,
            key=name,
            changes=True,
        )
        answer = await self._exchange.send(request, deadline)
        return replace(update_result(json_of(answer)), lines=len(lines), key=name)

    async def update_stream(
        self,
        source: Source,
        *,
        model: str = "default",
        format: Format | None = None,
        key: str | None = None,
        batch_size: int = BATCH_LINES,
        refused: Refused = "raise",
        progress: Callable[[UpdateResult], object] | None = None,
        deadline: float | None = None,
    ) -> UpdateResult:
        """Learn from a stream of any length, in order, in bounded memory.

        It is sent in batches, each with a key of its own, each answered before the next is sent. A line that
        is refused is counted and named, and the rest is learned from.

        Parameters
        ----------
        source
            Examples, as for :meth:`update`, from an iterable of any kind. Or bytes: a path (``.gz`` is
            decompressed), a binary file, bytes, or an iterable of pieces of them.
        model
            The model's name.
        format
            The format of bytes: ``ndjson``, ``vw`` or ``libsvm``. Of a path it is told from the name.
        key
            The beginning of the batches' keys, up to 235 characters; a new one where it is not given. With it
            the same stream, sent again in batches of the same size, goes on where it broke off: what was
            learned is recognised.
        batch_size
            So many examples, or lines, are a batch.
        refused
            ``raise``: raise a :class:`PartialError` at the end where lines were refused. ``report``: only say
            so in the result.
        progress
            Called after each batch with what became of the stream so far.
        deadline
            Seconds for each batch.

        Returns
        -------
        UpdateResult
            What became of all of it.

        Raises
        ------
        PartialError
            Where lines were refused; ``errors`` names them, ``done`` is the result.
        ClientError
            Where the stream broke off; ``done`` is what was answered before, ``key`` its key.

        Examples
        --------
        >>> stream = ({"features": {"site": f"s{n % 9}"}, "label": n % 2} for n in range(2500))
        >>> client.update_stream(stream).accepted
        2500
        """
        name = key_of(key, STREAM_KEY_LENGTH)
        path = path_of(model, "update")
        total = UpdateResult(model, key=name)
        media_type = media_type_of(source, format)
        number = 0
        with broken_off(total, name):
            async for batch in self._batches(source, media_type, batch_size):
                request = Request(
                    "POST",
                    path,
                    body=batch.body,
                    media_type=media_type or NDJSON,
                    key=f"{name}/{number}",
                    changes=True,
                )
                add_update(total, batch, await self._learned(request, batch, deadline))
                number += 1
                if progress is not None:
                    progress(replace(total))
        return checked(total, refused, "learned from")

    async def labels(
        self,
        labels: Example | Iterable[Example],
        *,
        model: str = "default",
        deadline: float | None = None,
    ) -> LabelResult:
        """Give labels of predictions that were made with an id.

        Parameters
        ----------
        labels
            One ``{"id": "imp-1", "label": 1}`` or several. One that changes nothing is an error.
        model
            The model's name.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        LabelResult
            What became of them; ``errors`` names those that changed nothing, each with its status.

        Raises
        ------
        InputError
            Where a label cannot be sent; nothing was.
        NotFoundError, ConflictError, GoneError
            Where a single label changes nothing: its prediction is not known, it is known already, or it came
            too late.
        ContentError
            Where none of several could be used.
        ClientError
            For any other end. The same labels may be sent again.

        Examples
        --------
        >>> _ = client.predict([{"features": {"site": "news"}, "id": "imp-1"}])
        >>> client.labels({"id": "imp-1", "label": 1}).accepted
        1
        """
        lines = list(all_examples(labels))
        body = lines[0] if isinstance(labels, Mapping) else members_of(b"labels", lines)
        request = Request("POST", path_of(model, "labels"), body=body, media_type=JSON, changes=True)
        total = LabelResult(model, lines=len(lines))
        try:
            add_labels(total, None, await self._exchange.send(request, deadline))
        except ConflictError as error:
            if not error.outcome_unknown or not error.detail.endswith(KNOWN):
                raise
            total.known = 1
        return total

    async def label_stream(
        self,
        source: Source,
        *,
        model: str = "default",
        format: Literal["ndjson"] | None = None,
        batch_size: int = NAMED,
        refused: Refused = "raise",
        progress: Callable[[LabelResult], object] | None = None,
        deadline: float | None = None,
    ) -> LabelResult:
        """Give a stream of labels of any length, in bounded memory.

        Parameters
        ----------
        source
            Labels from an iterable of any kind, or NDJSON as for :meth:`update_stream`.
        model
            The model's name.
        format
            ``ndjson`` where bytes are given.
        batch_size
            So many labels are a batch. An answer names a hundred: of as many it is known what became of each
            when they had to be sent again.
        refused, progress, deadline
            As for :meth:`update_stream`.

        Returns
        -------
        LabelResult
            What became of all of them.

        Raises
        ------
        PartialError
            Where labels changed nothing; ``errors`` names them, ``done`` is the result.
        ClientError
            Where the stream broke off; ``done`` is what was answered before.

        Examples
        --------
        >>> shown = [{"features": {"site": "news"}, "id": f"shown-{n}"} for n in range(3)]
        >>> _ = client.predict(shown)
        >>> client.label_stream({"id": f"shown-{n}", "label": 0} for n in range(3)).accepted
        3
        """
        total = LabelResult(model)
        path = path_of(model, "labels")
        media_type = media_type_of(source, format)
        if media_type not in (None, NDJSON):
            raise InputError("labels are NDJSON: say format='ndjson'")
        with broken_off(total, ""):
            async for batch in self._batches(source, media_type, batch_size):
                request = Request("POST", path, body=batch.body, media_type=NDJSON, changes=True)
                add_labels(total, batch, await self._learned(request, batch, deadline))
                if progress is not None:
                    progress(replace(total))
        return checked(total, refused, "used")

    async def _learned(self, request: Request, batch: Batch, deadline: float | None) -> Answer | None:
        """Send a batch of a stream; return the answer, None where there was nothing to send.

        That every line of it was refused is no end of the stream.
        """
        if not batch.lines:
            return None
        try:
            return await self._exchange.send(request, deadline)
        except ContentError as error:
            problem = error.problem
            rejected = problem.members.get("rejected")
            if problem.members.get("accepted") != 0 or not problem.errors or not rejected:
                raise
            errors = [
                {"line": one.line, "reason": one.reason, "status": one.status} for one in problem.errors
            ]
            members = {**problem.members, "errors": errors}
            return Answer(200, json.dumps(members).encode(), unsure=error.outcome_unknown)
