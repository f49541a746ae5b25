"""Predicting, and what predictions are made of."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, cast

from nonzero_client.answers import Explanation, Prediction
from nonzero_client.asking import Asking, Format, Refused, flag_of, json_of, path_of, sequence_of, whole_body
from nonzero_client.batches import BATCH_LINES, Batch, all_examples
from nonzero_client.columns import Columns
from nonzero_client.errors import InputError, PartialError
from nonzero_client.messages import Answer, Broken, Request
from nonzero_client.problems import LineFault
from nonzero_client.rows import is_frame
from nonzero_client.sources import JSON, Example, Examples, Source
from nonzero_client.table_batches import whole_batch
from nonzero_client.totals import named, partly


class Predicting(Asking):
    """Calls that a model answers with probabilities."""

    async def predict(
        self,
        examples: Examples,
        *,
        model: str = "default",
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        uncertainty: bool = False,
        min_sequence: int | None = None,
        deadline: float | None = None,
    ) -> list[Prediction]:
        """Predict examples, in order: all of them, or none.

        Parameters
        ----------
        examples
            One example or several, or a table, as for :meth:`update`; they need no label. One with an ``id``
            is kept, so that its label may come later.
        model
            The model's name.
        label, weight, id, time
            Of a table, as for :meth:`update_stream`; labels are not sent.
        uncertainty
            Whether to say how far one more example could move each.
        min_sequence
            How many examples the model must have learned: the ``sequence`` of an update that it is to know
            of. A service of several nodes may be asked another one, which waits for that.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        list of Prediction
            One an example.

        Raises
        ------
        InputError
            Where an example cannot be sent; nothing was.
        ContentError
            Where the service refuses one: ``errors`` names every bad one.
        ClientError
            For any other end.

        Examples
        --------
        >>> [prediction] = client.predict([{"features": {"site": "news"}}])
        >>> 0 < prediction.probability < 1
        True
        """
        path, least = path_of(model, "predict"), sequence_of(min_sequence)
        whole = whole_batch(examples, Columns(label, weight, id, time), labelled=False)

        def request_of(batch: Batch) -> Request:
            query = batch.query | flag_of("uncertainty", uncertainty)
            return Request(
                "POST",
                path,
                query=query,
                body=whole_body(batch),
                media_type=batch.media_type,
                min_sequence=least,
            )

        answer = json_of(await self._sent_whole(whole, request_of, deadline))
        return list(map(_prediction, answer["predictions"]))

    async def predict_candidates(
        self,
        shared: Example,
        candidates: Iterable[Example],
        *,
        model: str = "default",
        uncertainty: bool = False,
        min_sequence: int | None = None,
        deadline: float | None = None,
    ) -> list[Prediction]:
        """Predict candidates over a context that they share, in order: what is shared is sent once.

        Parameters
        ----------
        shared
            What all candidates have in common, as an example with features (or slots), and perhaps a time.
        candidates
            Examples of what each has of its own, as for :meth:`predict`. Each is predicted, and kept where it
            has an ``id``, as the example of the shared features and its own.
        model, uncertainty, min_sequence, deadline
            As for :meth:`predict`.

        Returns
        -------
        list of Prediction
            One a candidate.

        Raises
        ------
        InputError
            Where an example cannot be sent; nothing was.
        ContentError
            Where the service refuses one: ``errors`` names every bad one.
        ClientError
            For any other end.

        Examples
        --------
        >>> ads = [{"features": {"ad": "7"}}, {"features": {"ad": "8"}}]
        >>> len(client.predict_candidates({"features": {"site": "news"}}, ads))
        2
        """
        if is_frame(candidates):
            raise InputError(
                f"a {type(candidates).__name__} is no candidates; give mappings with features, or the whole "
                "examples to predict"
            )
        [context] = all_examples([shared])
        body = b'{"shared":%b,"candidates":[%b]}' % (context, b",".join(all_examples(candidates)))
        query = flag_of("uncertainty", uncertainty)
        request = Request(
            "POST",
            path_of(model, "predict"),
            query=query,
            body=body,
            media_type=JSON,
            min_sequence=sequence_of(min_sequence),
        )
        answer = json_of(await self._exchange.send(request, deadline))
        return list(map(_prediction, answer["predictions"]))

    async def predict_one(
        self,
        example: Example,
        *,
        model: str = "default",
        uncertainty: bool = False,
        min_sequence: int | None = None,
        deadline: float | None = None,
    ) -> Prediction:
        """Predict one example.

        Parameters
        ----------
        example
            As for :meth:`predict`.
        model, uncertainty, min_sequence, deadline
            As for :meth:`predict`.

        Returns
        -------
        Prediction
            Its prediction.

        Raises
        ------
        ClientError
            As for :meth:`predict`.

        Examples
        --------
        >>> client.predict_one({"features": {"site": "news"}, "id": "imp-2"}).id
        'imp-2'
        """
        [body] = all_examples([example])
        request = Request(
            "POST",
            path_of(model, "predict"),
            query=flag_of("uncertainty", uncertainty),
            body=body,
            media_type=JSON,
            min_sequence=sequence_of(min_sequence),
        )
        answer = json_of(await self._exchange.send(request, deadline))
        return _prediction(answer["predictions"][0])

    async def predict_stream(
        self,
        source: Source,
        *,
        model: str = "default",
        format: Format | None = None,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        delimiter: str | None = None,
        uncertainty: bool = False,
        min_sequence: int | None = None,
        batch_size: int = BATCH_LINES,
        refused: Refused = "raise",
        deadline: float | None = None,
    ) -> AsyncGenerator[Prediction, None]:
        """Predict a stream of any length, in order, in bounded memory.

        Parameters
        ----------
        source
            As for :meth:`update_stream`. It is read as predictions are asked for, a batch at a time.
        model, uncertainty, min_sequence
            As for :meth:`predict`.
        format, batch_size, deadline
            As for :meth:`update_stream`.
        label, weight, id, time, delimiter
            As for :meth:`update_stream`; labels are not looked at.
        refused
            ``raise``: raise a :class:`PartialError` at the end where lines were refused. ``report``: do not.

        Yields
        ------
        Prediction
            One a line, in order. That of a refused line has the probability NaN and says the reason.

        Raises
        ------
        PartialError
            At the end, where lines were refused; ``errors`` names them.
        ClientError
            Where the stream broke off.

        Examples
        --------
        >>> lines = [b"| site=news", b"", b"| site=sport"]
        ...
        """
        path, least = path_of(model, "predict"), sequence_of(min_sequence)
        columns = Columns(label, weight, id, time, None, delimiter)
        errors: tuple[LineFault, ...] = ()
        rejected = count = 0

        def request_of(batch: Batch) -> Request:
            return Request(
                "POST",
                path,
                query=batch.query | flag_of("uncertainty", uncertainty),
                body=batch.body,
                media_type=batch.media_type,
                min_sequence=least,
                check=None if batch.arrow else _whole(len(batch.numbers)),
            )

        async for batch in self._batches(source, format, batch_size, columns, labelled=False):
            sent, answer = await self._sent(batch, request_of, deadline)
            found: list[Prediction] = []
            if answer is not None:
                told = json_of(answer)["predictions"] if sent.arrow else _json_lines(answer.body)
                found = list(map(_prediction, told))
            for number, prediction in _in_order(sent, found):
                count += 1
                if prediction.reason is not None:
                    rejected += 1
                    errors = named(errors, [LineFault(number, prediction.reason)])
                yield prediction
        if rejected and refused == "raise":
            raise PartialError(partly(rejected, count, errors, "predicted"), errors, rejected)

    async def explain(
        self,
        example: Example,
        *,
        model: str = "default",
        min_sequence: int | None = None,
        deadline: float | None = None,
    ) -> Explanation:
        """Say what each feature adds to an example's log-odds.

        Parameters
        ----------
        example
            As for :meth:`predict`.
        model, min_sequence, deadline
            As for :meth:`predict`.

        Returns
        -------
        Explanation
            ``contributions``, ``intercept`` and ``mixing`` add up to ``log_odds``.

        Raises
        ------
        ClientError
            As for :meth:`predict`.

        Examples
        --------
        >>> client.explain({"features": {"site": "news"}})["contributions"][0]["feature"]
        'site=news'
        """
        [body] = all_examples([example])
        request = Request(
            "POST",
            path_of(model, "explain"),
            body=body,
            media_type=JSON,
            min_sequence=sequence_of(min_sequence),
        )
        return cast("Explanation", json_of(await self._exchange.send(request, deadline)))


def _json_lines(body: bytes) -> list[dict[str, Any]]:
    lines = [line for line in body.split(b"\n") if line]
    found: list[dict[str, Any]] = json.loads(b"[%s]" % b",".join(lines))
    return found


def _whole(lines: int) -> Callable[[Answer], Answer | Broken]:
    """Return what looks whether a streamed answer has so many lines, and no problem as its last."""

    def check(answer: Answer) -> Answer | Broken:
        try:
            found = _json_lines(answer.body)
            last = found[-1] if found else {}
            if "title" in last and "status" in last:
                return Answer(int(last["status"]), json.dumps(last).encode(), answer.headers)
        except (ValueError, TypeError, RecursionError):
            return Broken("the answer is not NDJSON; is this the address of Nonzero?", lasting=True)
        if len(found) != lines:
            return Broken(f"the answer to {lines} lines has {len(found)}")
        return answer

    return check


def _prediction(members: Mapping[str, Any]) -> Prediction:
    return Prediction(
        probability=float(members.get("probability", math.nan)),
        id=members.get("id"),
        uncertainty=members.get("uncertainty"),
        kept=members.get("kept", True),
        reason=members.get("reason"),
    )


def _in_order(batch: Batch, found: list[Prediction]) -> list[tuple[int, Prediction]]:
    """Return the predictions of a batch's lines and of what was not sent, by their numbers."""
    pairs = list(zip(batch.numbers, found, strict=True))
    if batch.faults:
        pairs += [(fault.line, Prediction(math.nan, reason=fault.reason)) for fault in batch.faults]
        pairs.sort(key=lambda pair: pair[0])
    return pairs
