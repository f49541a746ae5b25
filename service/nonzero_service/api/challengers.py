"""Challengers: how they compare with their champion, and the promotion of one."""

from __future__ import annotations

from math import floor, log10
from typing import Any

import msgspec
from fastapi import Request
from pydantic import ValidationError

from nonzero.formats.json_bodies import NOT_JSON
from nonzero.statistics.comparison import Comparison
from nonzero_service.api import schemas
from nonzero_service.api.framework import (
    ChallengerOrNone,
    ChallengerQuery,
    CurrentService,
    ModelName,
)
from nonzero_service.bodies.body_reader import read_whole
from nonzero_service.bodies.content import content_of, unknown_type
from nonzero_service.faults import explained, why_not_json
from nonzero_service.media_types import JSON
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.names import FieldNames
from nonzero_service.problems import Problem
from nonzero_service.service import Service
from nonzero_service.writer.pairing import CONFIDENCE, Pairing


async def compare(model: ModelName, service: CurrentService, challenger: ChallengerQuery) -> schemas.Compared:
    """Compare a challenger with its champion, by what both predicted just before they learned."""
    found = service.models.challenger(model, challenger)
    described = await found.learner.run(lambda: _described(found))
    return schemas.Compared.model_validate({"model": model, "with": challenger, **described})


async def promote(
    model: ModelName, request: Request, service: CurrentService, challenger: ChallengerOrNone = None
) -> schemas.PromotedWire:
    """Let a challenger's state and settings go on under its champion's name."""
    said = await _named(service, request)
    if challenger is not None and said not in (None, challenger):
        raise Problem(409, f"with is {challenger!r} in the query, and {said!r} in the body: say it once")
    name = challenger or said
    if name is None:
        raise Problem(409, 'nobody is named: send {"with": "..."}, or ?with=... , with a challenger\'s name')
    done = await service.models.promote(model, name)
    return schemas.PromotedWire(model=model, promoted=name, **done._asdict())


async def _named(service: Service, request: Request) -> str | None:
    """Return whom the body names; None where there is no body."""
    content = content_of(request.scope)
    if not content.media:
        if await read_whole(request.receive, 0) is None:
            raise unknown_type("", request.scope["target"].route.accepts)
        return None
    if content.media != JSON:
        raise unknown_type(content.media, request.scope["target"].route.accepts)
    body = await service.bodies.json(content, request.receive)
    try:
        return schemas.WhoIsPromoted.model_validate(msgspec.json.decode(body)).with_
    except ValidationError as error:
        raise Problem(422, explained(error.errors(), ["with"])) from error
    except NOT_JSON as error:
        raise Problem(400, f"the body is not JSON: {why_not_json(body, error)}") from error


def _described(challenger: Challenger) -> dict[str, Any]:
    """Return what is known of a challenger at rest."""
    follower, names = challenger.learner.follower, challenger.names
    pairing = follower.pairing
    if pairing is None or follower.is_reading:
        end = challenger.champion.journal.position
        why = f"it reads the journal, and is at position {follower.position:,} of {end:,}"
        nothing = Comparison(CONFIDENCE)
        return {"since": None, **_figures(nothing), "reason": why, "slices": {}} | {
            "weight": 0.0,
            "confidence": CONFIDENCE,
            "calibration": _both((None, None)),
        }
    whole = pairing.whole
    return {
        "since": {
            "position": pairing.since.position,
            "sequence": pairing.since.sequence,
            "time": pairing.since.time_ms,
        },
        **_figures(whole),
        "weight": whole.weight,
        "confidence": CONFIDENCE,
        "calibration": _both(whole.calibrations),
        "reason": _reason(whole),
        "slices": _sliced(pairing, names),
    }


def _sliced(pairing: Pairing, names: FieldNames) -> dict[str, list[dict[str, Any]]]:
    return {
        field: [
            {"value": None if value is None else names.value_of(value)} | _figures(one)
            for value, one in found
        ]
        for field, found in pairing.slices().items()
    }


def _figures(comparison: Comparison) -> dict[str, Any]:
    return {
        "examples": comparison.examples,
        "log_loss": _both(comparison.log_losses),
        "difference": comparison.interval()._asdict(),
        "verdict": comparison.verdict(),
    }


def _both(figures: tuple[float | None, float | None]) -> dict[str, float | None]:
    return dict(zip(("model", "with"), figures, strict=True))


def _nats(low: float, high: float) -> str:
    """Write both ends with the same digits, two of which the smaller end has: +0.000037 and +0.000302."""
    smaller = min(abs(low), abs(high)) or max(abs(low), abs(high)) or 1.0
    digits = min(max(1 - floor(log10(smaller)), 4), 9)
    return f"{low:+.{digits}f} and {high:+.{digits}f}"


def _reason(comparison: Comparison) -> str:
    """Say in one sentence why the verdict is what it is."""
    if not comparison.weight:
        return "nothing has come yet since the comparison began"
    found, n = comparison.interval(), comparison.examples
    if found.low is None or found.high is None:
        return f"{n:,} examples are too few to tell"
    between = f"between {_nats(found.low, found.high)} nats an example over {n:,}"
    match comparison.verdict():
        case "better":
            return f"it loses less: the difference is {between}"
        case "worse":
            return f"it loses more: the difference is {between}"
    return f"the difference is {between}, which may be none"
