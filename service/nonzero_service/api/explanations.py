"""Explain: one prediction, taken apart by feature."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from nonzero_service.api.examples import check_examples
from nonzero_service.api.queries import check_query
from nonzero_service.bodies.answers import send_json
from nonzero_service.bodies.content import content_of, unknown_type
from nonzero_service.bodies.json_bodies import features_of
from nonzero_service.media_types import JSON
from nonzero_service.problems import Problem
from nonzero_service.service import Service
from nonzero_service.writer.sequences import sequence_of

PARTS: Final = ("value", "weight", "contribution", "learning_rate", "verdict")


class Explain:
    """``POST /v1/models/{model}/explain``: one example's prediction, taken apart."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get_readable(scope["path_params"]["model"])
        content = content_of(scope)
        check_query(scope, ())
        model = served.model  # once: a promotion may come in between
        if content.media != JSON:
            raise unknown_type(content.media, scope["target"].route.accepts)
        body = await self.service.bodies.json(content, receive)
        batch = self.service.bodies.batch_of(body, model.schema)
        if len(batch) != 1:
            raise Problem(422, f"the body has {len(batch)} examples; explain takes one")
        check_examples(batch, model.bits, labelled=False)
        sequence = sequence_of(model)
        explanation = model.explain(batch)
        whole = model.expanded(batch)
        features = features_of(body, whole, model.schema, model.interactions)
        columns = (
            whole.explicit_values().tolist(),
            explanation.weights.tolist(),
            explanation.contributions.tolist(),
            explanation.rates.tolist(),
            explanation.verdicts,
        )
        contributions = [
            {"feature": feature.name, "field": feature.field} | dict(zip(PARTS, parts, strict=True))
            for feature, *parts in zip(features, *columns, strict=True)
        ]
        answer = {
            "model": served.name,
            "probability": explanation.probability,
            "log_odds": sum(explanation.contributions.tolist()) + explanation.intercept + explanation.mixing,
            "intercept": explanation.intercept,
            "mixing": explanation.mixing,
            "contributions": contributions,
            "sequence": sequence,
        }
        await send_json(send, msgspec.json.encode(answer))
