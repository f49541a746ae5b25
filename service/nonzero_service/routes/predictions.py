"""Predict: the probability of each example, in order."""

from __future__ import annotations

from contextlib import aclosing

import numpy as np
from starlette.types import Receive, Scope, Send

from nonzero.errors import BatchError
from nonzero.formats import Parsed
from nonzero.sources.examples import usable
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem
from nonzero_service.requests import Quick
from nonzero_service.service import Findable, Parts, Predictable
from nonzero_service.wire.answers import prediction, prediction_lines, predictions, send_json, send_stream
from nonzero_service.wire.bodies import check_examples
from nonzero_service.wire.headers import (
    JSON,
    STREAMS,
    Headers,
    flag_of,
    headers_of,
    is_plain_json,
    unknown_type,
)
from nonzero_service.wire.spool import Spool

__all__ = ["Predict"]


class Predict:
    """``POST /v1/models/{model}/predict``, as a plain ASGI application: it is the hottest route."""

    def __init__(self, service: Parts[Findable, Counts]) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get(scope["path_params"]["model"])
        headers = headers_of(scope)
        unsure = flag_of(scope, "uncertainty")
        if headers.media == JSON:
            await self._json(served, headers, receive, send, unsure)
        elif headers.media in STREAMS:

            async def write(spool: Spool) -> None:
                try:
                    await self._lines(served, headers, receive, spool, unsure)
                except Problem as problem:
                    if not spool.begun:
                        raise
                    spool.write(problem.body(scope) + b"\n")

            await send_stream(send, self.service.spool(), write)
        else:
            raise unknown_type(headers.media, JSON, *STREAMS)

    def at_once(self, quick: Quick) -> bool:
        """Answer a request of one example without a task, where it is as most are."""
        if len(quick.body) > self.service.bodies.quick or not is_plain_json(quick.scope):
            return False
        served = self.service.models.get(quick.scope["path_params"]["model"])
        probability = served.model.predict_body(quick.body)
        if probability is None:
            return False
        self.service.metrics.predicted(served.name, 1)
        quick.answer(200, prediction(served.name, probability, served.model.examples))
        return True

    async def _json(
        self, served: Predictable, headers: Headers, receive: Receive, send: Send, unsure: bool
    ) -> None:
        body = await self.service.bodies.json(headers, receive)
        quick = len(body) <= self.service.bodies.quick and not unsure
        probability = served.model.predict_body(body) if quick else None
        if probability is not None:
            self.service.metrics.predicted(served.name, 1)
            await send_json(send, prediction(served.name, probability, served.model.examples))
            return
        n, answer = await self.service.bodies.offload(len(body), self._answer, served, body, unsure)
        self.service.metrics.predicted(served.name, n)
        await served.attribution.synced()
        await send_json(send, answer)

    def _answer(self, served: Predictable, body: bytes, unsure: bool) -> tuple[int, bytes]:
        """Read the examples of a body; return how many they are, and the answer."""
        batch = self.service.bodies.batch_of(body, served.model.schema)
        sequence = served.model.examples
        try:
            found = served.model.predict(batch)
        except BatchError:
            check_examples(
                batch, served.model.bits, labelled=False
            )  # names every bad example, not only the first
            raise
        if batch.ids is not None:
            served.names.look(JSON, body)
            served.attribution.keep(batch, found)
        uncertainty = served.model.uncertainty(batch) if unsure else None
        return len(found), predictions(served.name, found, batch.ids, sequence, uncertainty)

    async def _lines(
        self, served: Predictable, headers: Headers, receive: Receive, spool: Spool, unsure: bool
    ) -> None:
        """Write one line for each line of the body, in order."""
        bodies = self.service.bodies
        schema = served.model.schema
        async with aclosing(bodies.stream(headers, receive, schema, names=served.names)) as pieces:
            async for piece in pieces:
                parsed = piece.parsed
                nbytes = parsed.batch.nbytes
                answer = await bodies.offload(nbytes, self._answer_lines, served, parsed, unsure)
                await served.attribution.synced()
                spool.write(answer)
                self.service.metrics.predicted(served.name, len(parsed.batch))

    @staticmethod
    def _answer_lines(served: Predictable, parsed: Parsed, unsure: bool) -> bytes:
        parsed = usable(parsed, served.model.bits, labelled=False)
        found = served.model.predict(parsed.batch) if len(parsed.batch) else np.empty(0, np.float32)
        if parsed.batch.ids is not None:
            served.attribution.keep(parsed.batch, found)
        uncertainty = served.model.uncertainty(parsed.batch) if unsure else None
        return prediction_lines(found, parsed, uncertainty)
