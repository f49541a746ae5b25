"""Predict: the probability of each example, in order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray
from starlette.types import Receive, Scope, Send

from nonzero import Batch
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.errors import BatchError
from nonzero.formats import Parsed
from nonzero.formats.json_candidates import has_candidates
from nonzero_service.api.examples import check_examples, look_at
from nonzero_service.api.queries import check_query, read_flag
from nonzero_service.bodies.answers import prediction, prediction_lines, predictions, send_json, send_stream
from nonzero_service.bodies.content import Content, content_of, is_plain_json, unknown_type
from nonzero_service.bodies.json_bodies import bad_candidates, bad_examples
from nonzero_service.bodies.reading import SMALL
from nonzero_service.bodies.spool import Spool
from nonzero_service.bodies.tables import TableQuery, table_query
from nonzero_service.http.dispatch import InlineEndpoint
from nonzero_service.http.guard import MAY_NOT_TEACH
from nonzero_service.http.inline import InlineRequest
from nonzero_service.media_types import ARROW, JSON, STREAMS
from nonzero_service.metrics.counts import Counts
from nonzero_service.models.names import Looker
from nonzero_service.problems import Problem
from nonzero_service.service import Findable, Keeper, Predictable, ServiceParts
from nonzero_service.writer.sequences import sequence_of
from nonzero_service.writer.teachable import heavy, named, teachable


class _Asked(NamedTuple):
    """How a request is to be answered."""

    unsure: bool
    """Whether with how sure each probability is."""
    keeper: Keeper
    """What takes the predictions that have an id."""
    kept: bool
    """Whether it keeps them."""
    names: Looker | None
    """What may learn names from the body."""
    columns: TableQuery | None = None
    """What was said of the columns of a table; None for any other body."""


class _Refusing:
    """Stands in for the impressions of a model where a request may not teach it.

    Parameters
    ----------
    refused
        Told, on the event loop, how many predictions with an id were not kept.
    """

    def __init__(self, refused: Callable[[int], object]) -> None:
        self._refused = refused
        self._count = 0

    def keep(self, batch: Batch, _: NDArray[np.float32]) -> None:
        """Count what has an id; from any thread."""
        self._count += int(named(batch).sum())

    async def synced(self) -> None:
        """Tell of what was counted."""
        count, self._count = self._count, 0
        if count:
            self._refused(count)


class Predict(InlineEndpoint):
    """``POST /v1/models/{model}/predict``, as a plain ASGI application: it is the hottest route.

    What a request without an id does changes nothing. Nor does one with a token that may not teach: its ids
    are answered and not kept, and no names are taken from it.
    """

    def __init__(self, service: ServiceParts[Findable, Counts]) -> None:
        self.service = service
        self._told: set[str] = set()
        """The tokens of which the log has said that their predictions are not kept."""
        self._log = structlog.get_logger("impressions")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get_readable(scope["path_params"]["model"])
        content = content_of(scope)
        query = check_query(scope, ("uncertainty", *TableQuery._fields))
        columns = table_query(query, content)
        asked = self._asked(served, scope, unsure=read_flag("uncertainty", query.get("uncertainty", "false")))
        if columns is not None:
            asked = asked._replace(columns=columns)
        if content.media in (JSON, ARROW):
            await self._whole(served, content, receive, send, asked)
        elif content.media in STREAMS:

            async def write(spool: Spool) -> None:
                try:
                    await self._lines(served, content, receive, spool, asked)
                except Problem as problem:
                    if not spool.begun:
                        raise
                    spool.write(problem.body(scope) + b"\n")

            await send_stream(send, self.service.spool(), write)
        else:
            raise unknown_type(content.media, scope["target"].route.accepts)

    def answer_inline(self, request: InlineRequest) -> bool:
        """Answer a request of one example without a task, where it is as most are."""
        body = request.body
        if len(body) > self.service.bodies.small_list or not is_plain_json(request.scope):
            return False
        served = self.service.models.get_readable(request.scope["path_params"]["model"])
        answer = self._answer_at_once(served, body)
        if answer is None:
            return False
        request.answer(200, answer)
        return True

    def _answer_at_once(self, served: Predictable, body: bytes) -> bytes | None:
        """Return the answer to a small body; None where it is not one example, or candidates, without ids."""
        if has_candidates(body):
            return self._answer_candidates(served, body)
        return self._answer_one(served, body) if len(body) <= self.service.bodies.small else None

    def _answer_candidates(self, served: Predictable, body: bytes) -> bytes | None:
        model = served.model  # once: a promotion may come in between
        batch = self.service.bodies.small_candidates_of(body, model)
        if batch is None:
            return None
        sequence = sequence_of(model)
        found = model.predict(batch)
        self.service.metrics.predicted(served.name, len(found))
        return predictions(served.name, found, None, sequence)

    def _answer_one(self, served: Predictable, body: bytes) -> bytes | None:
        model = served.model  # once: a promotion may come in between
        probability = model.predict_body(body)
        if probability is None:
            return None
        self.service.metrics.predicted(served.name, 1)
        return prediction(served.name, probability, sequence_of(model))

    def _asked(self, served: Predictable, scope: Scope, *, unsure: bool) -> _Asked:
        token: str | None = scope.get(MAY_NOT_TEACH)
        if token is None:
            return _Asked(unsure, served.keeper, served.keeps, served.names)
        return _Asked(unsure, _Refusing(partial(self._refused, served.name, token)), False, None)

    def _refused(self, model: str, token: str, count: int) -> None:
        """Count predictions that were not kept; say so once of each token."""
        self.service.metrics.refused(model, count)
        if token not in self._told:
            self._told.add(token)
            self._log.warning(
                "predictions with an id were not kept",
                model=model,
                token=token,
                reason="the token has not the scope impress; give it that where its predictions are to teach",
            )

    async def _whole(
        self, served: Predictable, content: Content, receive: Receive, send: Send, asked: _Asked
    ) -> None:
        body = await self.service.bodies.json(content, receive)
        arrow = asked.columns is not None
        small = len(body) <= self.service.bodies.small_list and not asked.unsure and not arrow
        one = self._answer_at_once(served, body) if small else None
        if one is not None:
            await send_json(send, one)
            return
        weight = len(body) + SMALL if arrow else len(body)  # pyarrow takes long to import
        n, answer = await self.service.bodies.offload(weight, self._answer, served, body, asked)
        self.service.metrics.predicted(served.name, n)
        await asked.keeper.synced()
        await send_json(send, answer)

    def _answer(self, served: Predictable, body: bytes, asked: _Asked) -> tuple[int, bytes]:
        """Read the examples of a body; return how many they are, and the answer."""
        model = served.model  # once: a promotion may come in between
        bodies, schema = self.service.bodies, model.schema
        if asked.columns is None and has_candidates(body):
            batch, refusal = bodies.candidates_of(body, schema), bad_candidates
        else:
            batch, refusal = bodies.batch_of(body, schema, asked.columns), bad_examples
        check = partial(check_examples, batch, model.bits, labelled=False, refusal=refusal)
        sequence = sequence_of(model)
        try:
            found = model.predict(batch)
        except BatchError:
            check()  # names every bad example, not only the first
            raise
        if batch.ids is not None:
            most = self.service.settings.max_weight
            if asked.kept and heavy(batch, most):
                check(max_weight=most)
            if asked.names is not None:
                asked.names.look(JSON if asked.columns is None else ARROW, body)
            asked.keeper.keep(batch, found)
        uncertainty = model.uncertainty(batch) if asked.unsure else None
        answer = predictions(served.name, found, batch.ids, sequence, uncertainty, kept=asked.kept)
        return len(found), answer

    async def _lines(
        self, served: Predictable, content: Content, receive: Receive, spool: Spool, asked: _Asked
    ) -> None:
        """Write one line for each line of the body, in order."""
        bodies = self.service.bodies
        columns = asked.columns
        look = None if asked.names is None else partial(look_at, asked.names, content.media, columns)
        async with aclosing(bodies.stream(content, receive, served.model, columns, look=look)) as pieces:
            async for piece in pieces:
                parsed = piece.parsed
                nbytes = parsed.batch.nbytes
                answer = await bodies.offload(nbytes, self._answer_lines, served, parsed, asked)
                await asked.keeper.synced()
                spool.write(answer)
                self.service.metrics.predicted(served.name, len(parsed.batch))

    def _answer_lines(self, served: Predictable, parsed: Parsed, asked: _Asked) -> bytes:
        most = self.service.settings.max_weight if asked.kept else MAX_WEIGHT
        model = served.model  # once: a promotion may come in between
        parsed = teachable(parsed, model.bits, most, labelled=False)
        found = model.predict(parsed.batch) if len(parsed.batch) else np.empty(0, np.float32)
        if parsed.batch.ids is not None:
            asked.keeper.keep(parsed.batch, found)
        uncertainty = model.uncertainty(parsed.batch) if asked.unsure else None
        return prediction_lines(found, parsed, uncertainty, kept=asked.kept)
