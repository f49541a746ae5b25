"""The routes that read examples and labels, as the description has them."""

from __future__ import annotations

from typing import Final

from nonzero_service import schemas
from nonzero_service.metrics.counts import Counts
from nonzero_service.openapi import (
    KEY,
    STRICT,
    UNCERTAINTY,
    PlainRoute,
    answer,
    held,
    problems,
    reference,
    text,
)
from nonzero_service.request_bodies import LABELS, ONE_EXAMPLE, PREDICTED, UPDATED
from nonzero_service.routes.explanations import Explain
from nonzero_service.routes.labels import Label
from nonzero_service.routes.predictions import Predict
from nonzero_service.routes.shortcut import PREFIX
from nonzero_service.routes.updates import Update
from nonzero_service.service import Findable, Parts, Service
from nonzero_service.wire.headers import JSON, NDJSON

__all__ = ["prediction_route", "routes"]

PATH: Final = f"{PREFIX}{{model}}"


def prediction_route(service: Parts[Findable, Counts]) -> PlainRoute:
    """Return the hottest route, which a worker has too."""
    return PlainRoute(
        f"{PATH}/predict",
        Predict(service),
        summary="Predict clicks",
        description="The probability of each example in the body, in order. A streamed body is "
        "answered by exactly one line for each of its lines.",
        body=PREDICTED,
        parameters=(UNCERTAINTY,),
        responses=answer(
            "The probabilities.",
            {
                JSON: reference(schemas.Predictions),
                NDJSON: text(
                    'A line for each line: {"probability", "id"}, with "uncertainty" on request, and "kept": '
                    'false where the token has not the scope impress; or {"line", "reason"} in its place.'
                ),
            },
        )
        | problems(400, 404, 413, 415, 422, 503),
    )


def routes(service: Service) -> list[PlainRoute]:
    """Return the routes, the hottest first: the router tries them in turn."""
    return [
        prediction_route(service),
        PlainRoute(
            f"{PATH}/update",
            Update(service),
            summary="Learn from clicks",
            description="Learns from the examples in the body, in order, and answers when they are applied. "
            "A JSON body is learned from as a whole or not at all; of a stream, lines that cannot be "
            "read are named and passed over; where no other is left, the answer is 422. "
            "With `Accept: application/x-ndjson` a stream is answered by "
            "a line after every commit.",
            body=UPDATED,
            parameters=(STRICT, KEY),
            responses=answer(
                "What was learned.",
                {
                    JSON: reference(schemas.Updated),
                    NDJSON: text(
                        'Progress lines {"accepted", "rejected", "sequence", "log_loss"}; the answer, or a '
                        "problem, is the last line. Without it, the outcome is not known."
                    ),
                },
            )
            | held(schemas.Updated)
            | problems(400, 404, 409, 413, 415, 422, 503, 507),
        ),
        PlainRoute(
            f"{PATH}/labels",
            Label(service),
            summary="Label predictions",
            description="Joins labels with predictions that were made with an `id`, and learns from them. A "
            "single label that changes nothing is answered with its status; of several it is named under "
            "`errors`, and where none was joined, now or before, the answer is 422.",
            body=LABELS,
            responses=answer("What became of the labels.", {JSON: reference(schemas.Labelled)})
            | held(schemas.Labelled)
            | problems(400, 404, 409, 410, 413, 415, 422, 503, 507),
        ),
        PlainRoute(
            f"{PATH}/explain",
            Explain(service),
            summary="Explain a prediction",
            description="Each feature's share of the log-odds, its weight and learning rate, averaged over "
            "the lanes, and the verdict on its field; with `intercept` and `mixing` the shares add up to "
            "logit(probability).",
            body=ONE_EXAMPLE,
            responses=answer("The prediction, taken apart.", {JSON: reference(schemas.Explanation)})
            | problems(400, 404, 413, 415, 422, 503),
        ),
    ]
