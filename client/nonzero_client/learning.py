"""Learning: updates, and labels that come later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from nonzero_client.answers import LabelResult, UpdateResult
from nonzero_client.asking import (
    KEY_LENGTH,
    STREAM_KEY_LENGTH,
    Asking,
    Format,
    Refused,
    json_of,
    key_of,
    members_of,
    path_of,
    whole_body,
)
from nonzero_client.batches import BATCH_LINES, Batch, all_examples
from nonzero_client.columns import Columns
from nonzero_client.errors import ClientError, ConflictError, ContentError, InputError
from nonzero_client.messages import Answer, Request
from nonzero_client.problems import NAMED
from nonzero_client.rows import is_frame
from nonzero_client.sources import JSON, NDJSON, Example, Examples, Source, format_of
from nonzero_client.table_batches import whole_batch
from nonzero_client.totals import KNOWN, add_labels, add_update, broken_off, checked, update_result


class Learning(Asking):
    """Calls that a model learns from."""

    async def update(
        self,
        examples: Examples,
        *,
        model: str = "default",
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        positive: str | None = None,
        key: str | None = None,
        deadline: float | None = None,
    ) -> UpdateResult:
        """Learn from examples, in order: from all of them, or from none.

        They are one request with one key. However often it has to be sent, each example is learned from once.

        Parameters
        ----------
        examples
            One example or several, such as ``{"features": {"site": "news"}, "label": 1}``; or a table, as for
            :meth:`update_stream`, which is sent whole.
        model
            The model's name.
        label, weight, id, time, positive
            Of a table, as for :meth:`update_stream`.
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
        path = path_of(model, "update")
        whole = whole_batch(examples, Columns(label, weight, id, time, positive), labelled=True)

        def request_of(batch: Batch) -> Request:
            return Request(
                "POST",
                path,
                query=batch.query,
                body=whole_body(batch),
                media_type=batch.media_type,
                key=name,
                changes=True,
            )

        answer = await self._sent_whole(whole, request_of, deadline)
        return replace(update_result(json_of(answer)), lines=len(whole), key=name)

    async def update_stream(
        self,
        source: Source,
        *,
        model: str = "default",
        format: Format | None = None,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        positive: str | None = None,
        delimiter: str | None = None,
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
            Examples from an iterable of any kind. Or a table: a DataFrame of pandas or polars, a table, a
            record batch or a reader of pyarrow, a relation of DuckDB, and whatever else has
            ``__arrow_c_stream__``. Or bytes: a path (``.gz`` is decompressed), a binary file, bytes, or an
            iterable of pieces of them.
        model
            The model's name.
        format
            The format of bytes: ``ndjson``, ``vw``, ``libsvm``, ``csv`` or ``tsv``; of a file also
            ``parquet`` or ``arrow``, which pyarrow reads. Of a path it is told from the name.
        label
            Of a table, and of CSV: the column of the label. Otherwise the one called label, click, clicked,
            target or y.
        weight, id, time
            Of a table, and of CSV: the columns of importance weights, ids and times.
        positive
            Of a table, and of CSV: the label that is a click; any other is none.
        delimiter
            Of CSV: what stands between columns, ``tab`` for a tab. Otherwise the header tells it.
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
        columns = Columns(label, weight, id, time, positive, delimiter)
        number = 0

        def request_of(batch: Batch) -> Request:
            return Request(
                "POST",
                path,
                query=batch.query,
                body=batch.body,
                media_type=batch.media_type,
                key=f"{name}/{number}",
                changes=True,
            )

        with broken_off(total, name):
            async for batch in self._batches(source, format, batch_size, columns, labelled=True):
                add_update(total, *await self._sent(batch, request_of, deadline, _all_refused))
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
        if is_frame(source):
            raise InputError(f"a {type(source).__name__} is no labels; give mappings with an id and a label")
        if format_of(source, format) not in (None, "ndjson"):
            raise InputError("labels are NDJSON: say format='ndjson'")

        def request_of(batch: Batch) -> Request:
            return Request("POST", path, body=batch.body, media_type=NDJSON, changes=True)

        with broken_off(total, ""):
            async for batch in self._batches(source, format, batch_size, Columns(), labelled=False):
                add_labels(total, *await self._sent(batch, request_of, deadline, _all_refused))
                if progress is not None:
                    progress(replace(total))
        return checked(total, refused, "used")


def _all_refused(error: ClientError) -> Answer | None:
    """Return what a batch is answered of which every line was refused: that is no end of the stream."""
    problem = error.problem
    if not isinstance(error, ContentError) or problem is None:
        return None
    rejected = problem.members.get("rejected")
    if problem.members.get("accepted") != 0 or not problem.errors or not rejected:
        return None
    errors = [{"line": one.line, "reason": one.reason, "status": one.status} for one in problem.errors]
    members = {**problem.members, "errors": errors}
    return Answer(200, json.dumps(members).encode(), unsure=error.outcome_unknown)
