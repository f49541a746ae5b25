"""Bodies and answers of the Open Inference Protocol (version 2)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from nonzero_service.api.schemas.wire import Wire

Datatype = Literal[
    "BOOL",
    "BYTES",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
]
Element = bool | str | int | float | None
Parameters = dict[str, str | int | float | bool]


class InputTensorWire(Wire):
    """A field: a value for each example."""

    name: str = Field(description="The field's name.")
    shape: list[int] = Field(min_length=1, max_length=2, description="[n] or [n, 1].")
    datatype: Datatype
    data: list[Element] | list[list[Element]] = Field(description="n values; null is no feature.")
    parameters: Parameters = Field({}, description="Passed over.")


class OutputWanted(Wire):
    """An output that is asked for."""

    name: Literal["probability"]
    parameters: Parameters = Field({}, description="Passed over.")


class InferRequestWire(Wire):
    """A request of the protocol."""

    inputs: list[InputTensorWire] = Field(min_length=1)
    id: str | None = Field(None, description="Repeated in the answer.")
    parameters: Parameters = Field({}, description="Passed over.")
    outputs: list[OutputWanted] = Field([], description="Without it: all, which is one.")


class ProbabilityTensor(Wire):
    """The probabilities, in order."""

    name: Literal["probability"]
    shape: list[int]
    datatype: Literal["FP32"]
    data: list[float]


class InferAnswer(Wire):
    """The answer of the protocol."""

    model_name: str
    id: str | None = None
    outputs: list[ProbabilityTensor]


class TensorMetadata(Wire):
    """A tensor, as metadata have it."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadataWire(Wire):
    """What a model takes and gives."""

    name: str
    platform: str
    inputs: list[TensorMetadata] = Field(description="The fields that are known; each may be left out.")
    outputs: list[TensorMetadata]


class ModelReadyWire(Wire):
    """A model that predicts."""

    name: str
    ready: Literal[True]


class ServerMetadataWire(Wire):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class ServerHealth(Wire):
    """How the server is."""

    live: Literal[True]
    ready: Literal[True] | None = None


class InferenceProblem(BaseModel):
    """Any error on a path of the protocol."""

    error: str
