"""The Open Inference Protocol (version 2): models described, and predictions by tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from nonzero_service.api.other_protocols import OtherProtocol
from nonzero_service.api.queries import check_query
from nonzero_service.bodies.answers import send_json
from nonzero_service.bodies.content import content_of, unknown_type
from nonzero_service.bodies.infer_bodies import OUTPUT, infer_answer, read_infer
from nonzero_service.media_types import JSON
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import Problem
from nonzero_service.service import Service

BINARY_HEADER: Final = b"inference-header-content-length"
"""By it an extension says that binary tensors follow the JSON."""

AS_TENSORS: Final = {"category": "BYTES", "number": "FP32"}


class Infer(OtherProtocol):
    """``POST /v2/models/{model}/infer``."""

    async def answer(self, scope: Scope, receive: Receive) -> bytes:
        """Return the probabilities of a request's examples."""
        served = self.service.models.get_readable(scope["path_params"]["model"])
        content = content_of(scope)
        check_query(scope, ())
        if any(name == BINARY_HEADER for name, _ in scope["headers"]):
            raise Problem(
                400,
                "Inference-Header-Content-Length says that binary tensors follow, an extension that is not "
                "read; send the data of tensors as JSON (tritonclient: binary_data=False)",
            )
        if content.media not in (JSON, ""):  # the protocol's own example has none
            raise unknown_type(content.media, scope["target"].route.accepts)
        bodies = self.service.bodies
        body = await bodies.json(content, receive)
        asked = await bodies.offload(len(body), read_infer, body, self.bounds)
        found = await self.predict_text(served, content, body, asked.examples)
        return infer_answer(served.name, found, asked.id)


class ModelMetadata:
    """``GET /v2/models/{model}``: the fields that are known, as input tensors."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        served = self.service.models.get_readable(scope["path_params"]["model"])
        inputs = [
            {"name": name, "datatype": AS_TENSORS[kind], "shape": [-1]}
            for name, kind in _known_fields(served)
        ]
        answer = {
            "name": served.name,
            "platform": "nonzero_safetensors",
            "inputs": inputs,
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1]}],
        }
        await send_json(send, msgspec.json.encode(answer))


class ModelReady:
    """``GET /v2/models/{model}/ready``: says whether a model predicts."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        served = self.service.models.get_readable(scope["path_params"]["model"])
        await send_json(send, msgspec.json.encode({"name": served.name, "ready": True}))


def _known_fields(served: ServedModel | Challenger) -> Iterator[tuple[str, str]]:
    """Yield the fields that are declared, or were learned from, and are features, with their kinds.

    One that is not declared has the kind that its first value came in. What only asks shows no names.
    """
    schema = served.model.schema
    declared = [name for name in schema.fields if "*" not in name]
    met = schema.known.kinds_met()
    for name in dict.fromkeys((*declared, *served.names.all())):
        kind = schema.kind_of(name)
        if kind == "infer":
            kind = met.get(name) or "category"
        if kind in AS_TENSORS:
            yield name, kind
