"""Labels: what became of predictions that were made with an ``id``."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from nonzero_service.api.queries import check_query
from nonzero_service.api.tally import Tally
from nonzero_service.bodies.answers import send_json
from nonzero_service.bodies.content import Content, content_of, unknown_type
from nonzero_service.bodies.label_bodies import LabelBatch, labels_of, stream_labels
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.media_types import JSON, NDJSON
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import MAX_ERRORS, Problem
from nonzero_service.service import Service
from nonzero_service.writer.work import Applied

REFUSALS: Final[dict[Verdict, tuple[int, str]]] = {
    "unknown": (
        404,
        "no prediction with this id is known; its label must come after it, and within its time",
    ),
    "duplicate": (409, "this label is known already"),
    "conflicting": (409, "another label for this id is known already, and has been learned from"),
    "gone": (410, "it came too late: the features of this prediction are no longer used"),
}
"""How a label is answered that changes nothing."""


class LabelTally(Tally):
    """What has become of a body's labels so far."""

    def __init__(self, served: ServedModel) -> None:
        super().__init__(served)
        self.corrected = self.repeated = 0
        self.errors: list[dict[str, Any]] = []

    def add(self, labels: LabelBatch, labelled: Applied) -> None:
        """Count labels that were looked at."""
        errors: list[dict[str, Any]] = [
            {"line": line, "reason": reason, "status": 422} for line, reason in labels.errors
        ]
        for line, verdict in zip(labels.lines, labelled.verdicts, strict=True):
            if verdict in REFUSALS:
                status, reason = REFUSALS[verdict]
                errors.append({"line": line, "reason": reason, "status": status})
                self.repeated += verdict == "duplicate"
            else:
                self.accepted += 1
                self.corrected += verdict == "corrected"
        self.rejected += len(errors)
        errors.sort(key=lambda error: error["line"])
        self.errors += errors[: MAX_ERRORS - len(self.errors)]
        self.sequence = labelled.sequence
        self.held += labelled.held

    def check_any(self) -> None:
        """Refuse labels that have come to nothing; those that are known already, as a repeat's, have not.

        Raises
        ------
        Problem
            422 where labels were refused, and none was accepted, now or before.
        """
        if self.rejected and not (self.accepted or self.repeated):
            first = self.errors[0]
            problem = self.nothing_learned("label", first["line"], first["reason"])
            problem.members["errors"] = self.errors
            raise problem

    def answer(self) -> dict[str, Any]:
        """Return the answer."""
        answer = {
            "model": self.model,
            "accepted": self.accepted,
            "corrected": self.corrected,
            "rejected": self.rejected,
            "errors": self.errors,
            "sequence": self.sequence,
        }
        return answer | {"held": self.held} if self.held else answer


class Join:
    """``POST /v1/models/{model}/labels``, as a plain ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get(scope["path_params"]["model"])
        content = content_of(scope)
        check_query(scope, ())
        tally = LabelTally(served)
        if content.media == JSON:
            await self._json(served, content, receive, tally)
        elif content.media == NDJSON:
            await self._stream(served, content, receive, tally)
        else:
            raise unknown_type(content.media, scope["target"].route.accepts)
        tally.check_any()
        await send_json(send, msgspec.json.encode(tally.answer()), 202 if tally.held else 200)

    async def _json(self, served: ServedModel, content: Content, receive: Receive, tally: LabelTally) -> None:
        body = await self.service.bodies.json(content, receive)
        labels, single = await self.service.bodies.offload(len(body), labels_of, body)
        labelled = await served.attribution.label(labels.ids, labels.labels)
        if single and labelled.verdicts[0] in REFUSALS:
            status, reason = REFUSALS[labelled.verdicts[0]]
            raise Problem(status, f"{labels.ids[0]!r}: {reason}")
        tally.add(labels, labelled)

    async def _stream(
        self, served: ServedModel, content: Content, receive: Receive, tally: LabelTally
    ) -> None:
        try:
            async with aclosing(stream_labels(self.service.bodies, content, receive)) as pieces:
                async for labels in pieces:
                    begun = bool(tally.accepted or tally.rejected)
                    tally.add(labels, await served.attribution.label(labels.ids, labels.labels, wait=begun))
        except Problem as problem:
            problem.members.update(tally.counts())
            raise
