"""Predictions that are asked for in another protocol: its body becomes examples, which are read as JSON is.

So a value means what it means in ``POST /v1/models/{model}/predict``, and the probabilities are the same
bits. Nothing is kept of them, and no names are learned: these protocols have no name for an example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from starlette.types import Receive, Scope, Send

from nonzero import Batch
from nonzero.errors import BatchError
from nonzero_service.api.examples import check_examples
from nonzero_service.bodies.answers import send_json
from nonzero_service.bodies.content import Content
from nonzero_service.bodies.example_text import BodyBounds
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem, problem_of
from nonzero_service.service import Findable, Predictable, ServiceParts

Probabilities: TypeAlias = NDArray[np.float32]


class OtherProtocol(ABC):
    """An ASGI application that predicts in another protocol, in which what cannot be used is 400."""

    def __init__(self, service: ServiceParts[Findable, Counts]) -> None:
        self.service = service
        settings = service.settings
        self.bounds = BodyBounds(settings.max_examples, settings.max_features, int(settings.max_body_bytes))

    @abstractmethod
    async def answer(self, scope: Scope, receive: Receive) -> bytes:
        """Return the answer to a request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises
        ------
        Problem
            400 in the place of 422, which these protocols do not know; and what else the answer raises.
        """
        try:
            answer = await self.answer(scope, receive)
        except Exception as error:
            problem = problem_of(error)
            if problem.status != 422:
                raise
            raise Problem(400, problem.detail, headers=problem.headers) from error
        await send_json(send, answer)

    async def predict(
        self, served: Predictable, body: bytes, read: Callable[[bytes], Batch]
    ) -> Probabilities:
        """Predict the examples that are read of a body, on another thread where it is long."""
        found = await self.service.bodies.offload(len(body), _predicted, served, body, read)
        self.service.metrics.predicted(served.name, found.size)
        return found

    async def predict_text(
        self, served: Predictable, content: Content, body: bytes, text: bytes
    ) -> Probabilities:
        """Predict the examples that a body comes to, as JSON."""
        content.hold(len(body) + len(text))
        return await self.predict(
            served, text, lambda text: self.service.bodies.batch_of(text, served.model.schema)
        )


def _predicted(served: Predictable, body: bytes, read: Callable[[bytes], Batch]) -> Probabilities:
    model = served.model  # once: a promotion may come in between
    batch = read(body)
    try:
        return model.predict(batch)
    except BatchError:
        check_examples(batch, model.bits, labelled=False)  # names every bad example
        raise
