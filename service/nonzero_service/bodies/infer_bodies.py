"""Bodies of the Open Inference Protocol (version 2, HTTP/REST): tensors to examples, and their answers.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.formats.delimited_labels import named_twice
from nonzero.formats.json_bodies import NOT_JSON
from nonzero_service.bodies.answers import probabilities
from nonzero_service.bodies.example_text import BodyBounds, ExampleText, check_fields, elements_of
from nonzero_service.faults import shown_value
from nonzero_service.problems import Problem

OUTPUT: Final = "probability"
"""The one tensor that a model gives."""

BINARY: Final = "binary_data_size"
SHARED: Final = "shared_memory_region"
"""The parameters by which extensions of a server have a tensor's values elsewhere than in its data."""

LONG: Final = 1 << 20
"""The data of a tensor of more bytes is measured before it is taken apart: an element takes 60 bytes."""

STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _integers(low: int, high: int | None = None) -> Any:
    return list[Annotated[int, msgspec.Meta(ge=low, le=high)] | None]


DATATYPES: Final[dict[str, Any]] = {
    "BOOL": list[bool | None],
    "BYTES": list[str | None],
    **{f"INT{bits}": _integers(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": _integers(0, (1 << bits) - 1) for bits in (8, 16, 32)},
    "UINT64": _integers(0),
    **dict.fromkeys(("FP16", "FP32", "FP64"), list[float | None]),
}
"""What JSON has for the elements of a tensor, by its datatype."""

_flat: Final = {name: msgspec.json.Decoder(kind) for name, kind in DATATYPES.items()}
_inner: Final = msgspec.json.Decoder(Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=1)])


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor of a request: a field, a value for each example."""

    name: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=8)]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, str | int | float | bool] = {}


class OutputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor that a request asks for."""

    name: str
    parameters: dict[str, str | int | float | bool] = {}


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: dict[str, str | int | float | bool] = {}
    outputs: list[OutputTensor] = []


_request: Final = msgspec.json.Decoder(InferRequest)


class InferBody(NamedTuple):
    """What a body asks for."""

    id: str | None
    """The request's own name, to be repeated."""
    examples: bytes
    """The same as a JSON body of examples."""


def read_infer(body: bytes, most: BodyBounds) -> InferBody:
    """Read a body, which may come to so much.

    Raises
    ------
    Problem
        400 naming what is wrong; 413 where it is too much.
    """
    try:
        request = _request.decode(body)
    except NOT_JSON as error:
        raise Problem(400, f"the body is no inference request: {error}") from error
    for output in request.outputs:
        _check_output(output)
    if not request.inputs:
        raise Problem(400, "there are no inputs; send a tensor for each field")
    check_fields(len(request.inputs), most)
    names = [tensor.name for tensor in request.inputs]
    if (twice := named_twice(names)) is not None:
        raise Problem(400, f"two inputs are called {shown_value(twice)}; a field is one tensor")
    n = _rows(request.inputs[0])
    if n > most.examples:
        raise Problem(413, f"a request has at most {most.examples} examples, not {n}; send fewer at once")
    columns = [_values(tensor, n, request.inputs[0].name) for tensor in request.inputs]
    text = ExampleText(names, most.nbytes).body(zip(*columns, strict=True))
    return InferBody(request.id, text)


def infer_answer(model: str, found: NDArray[np.float32], id: str | None) -> bytes:
    """Return the answer that has these probabilities."""
    named = b"" if id is None else b',"id":' + msgspec.json.encode(id)
    return b'{"model_name":"%b"%b,"outputs":[{"name":"%b","shape":[%d],"datatype":"FP32","data":[%b]}]}' % (
        model.encode(),
        named,
        OUTPUT.encode(),
        found.size,
        probabilities(found),
    )


def _check_output(output: OutputTensor) -> None:
    """Refuse what is asked for and is not there."""
    if output.name != OUTPUT:
        raise Problem(400, f"there is no output {shown_value(output.name)}; the model has {OUTPUT!r}")
    for name in (SHARED, "classification"):
        if name in output.parameters:
            raise Problem(
                400, f"the output {shown_value(output.name)} has the parameter {name!r}, which is not served"
            )


def _rows(tensor: InputTensor) -> int:
    """Return how many examples a tensor is of."""
    if len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1):
        return tensor.shape[0]
    raise Problem(
        400,
        f"the input {shown_value(tensor.name)} has the shape {tensor.shape}; a field is a tensor of "
        "shape [n] or [n, 1], a value an example",
    )


def _values(tensor: InputTensor, n: int, first: str) -> list[msgspec.Raw]:
    """Return the elements of a tensor as they are written, of which each is of its datatype, or null."""
    called = f"the input {shown_value(tensor.name)}"
    for name in (BINARY, SHARED):
        if name in tensor.parameters:
            raise Problem(
                400,
                f"{called} has the parameter {name!r}, an extension that is not read; send its data as JSON",
            )
    decoder = _flat.get(tensor.datatype)
    if decoder is None:
        raise Problem(
            400,
            f"{called} has the datatype {shown_value(tensor.datatype)}; one of {', '.join(DATATYPES)} is "
            "read",
        )
    if _rows(tensor) != n:
        raise Problem(
            400, f"{called} is of {_rows(tensor)} examples, and {shown_value(first)} of {n}; they are alike"
        )
    data = bytes(tensor.data)
    if not data:
        raise Problem(400, f"{called} has no data; it is a JSON list")
    if len(data) > LONG and STRING.sub(b"", data).count(b",") >= n:
        raise Problem(400, f"{called} has more elements than the {n} that its shape says")
    try:
        values = elements_of(tensor.data)
        if values and bytes(values[0]).startswith(b"["):
            values = [_inner.decode(value)[0] for value in values]
        decoder.decode(b"[%b]" % b",".join(values))
    except NOT_JSON as error:
        raise Problem(400, f"the data of {called} is no list of {tensor.datatype}: {error}") from error
    if len(values) != n:
        raise Problem(400, f"{called} has {len(values)} elements, and its shape says {n}")
    return values
