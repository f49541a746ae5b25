"""The bodies of requests as OpenAPI describes them, with examples that are answered 2xx as they stand."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from nonzero.formats.registry import FORMATS
from nonzero_service.api import schemas
from nonzero_service.api.openapi import reference, text
from nonzero_service.media_types import ARROW, CSV, JSON, NDJSON, SAFETENSORS


class Form(NamedTuple):
    """One form of a body."""

    media: str
    schema: dict[str, Any]
    examples: dict[str, Any]
    """By what they show: each is one that is answered 2xx."""


def request_body(*content: Form) -> dict[str, Any]:
    """Describe the body of a route; `/docs` sends the first example as it stands."""
    return {
        "required": True,
        "content": {
            one.media: {
                "schema": one.schema,
                "examples": {name: {"value": value} for name, value in one.examples.items()},
            }
            for one in content
        },
    }


_TABLE: Final = {
    "type": "string",
    "format": "binary",
    "description": "An Arrow IPC stream, a row an example: taken as a whole or not at all.",
}


def _examples(clicks: Form, **lines: str) -> dict[str, Any]:
    """Describe the body of an update or a prediction: JSON, and each format of lines, by its own example."""
    forms = {"ndjson": FORMATS["ndjson"]} | FORMATS  # NDJSON comes first
    return request_body(
        clicks,
        *(
            Form(form.media_type, text(form.text), {"lines": lines.get(name, form.lines)})
            for name, form in forms.items()
            if form.media_type
        ),
        Form(ARROW, _TABLE, {}),
    )


_ONE_OR_MORE: Final = {"anyOf": [reference(schemas.ExampleWire), reference(schemas.Examples)]}
_NEWS: Final = {"site": "news", "bid": 0.5, "tags": ["a", "b"]}
_SPORT: Final = {"site": "sport", "bid": 1.5}

UPDATED: Final = _examples(
    Form(
        JSON,
        _ONE_OR_MORE,
        {
            "one": {"features": _NEWS, "label": 1},
            "several": {
                "examples": [{"features": _NEWS, "label": 1}, {"features": _SPORT, "label": 0, "weight": 2}]
            },
            "slots": {"indices": [3, 17], "values": [0.5, 1], "label": 0},
        },
    ),
)
"""The body of an update."""

PREDICTED: Final = _examples(
    Form(
        JSON,
        {"anyOf": [*_ONE_OR_MORE["anyOf"], reference(schemas.Candidates)]},
        {
            "one": {"features": _NEWS, "id": "imp-1"},
            "several": {"examples": [{"features": _NEWS, "id": "imp-1"}, {"features": _SPORT}]},
            "slots": {"indices": [3, 17], "values": [0.5, 1]},
            "candidates": {
                "shared": {"features": _NEWS},
                "candidates": [{"features": {"ad": "7"}, "id": "imp-4"}, {"features": {"ad": "8"}}],
            },
        },
    ),
    ndjson='{"features": {"site": "news", "bid": 0.5}, "id": "imp-2"}\n{"features": {"site": "sport"}}\n',
    vw="imp-3| site=news bid:0.5\n| site=sport\n",
)
"""The body of a prediction; the ids are those that LABELS has."""

LABELS: Final = request_body(
    Form(
        JSON,
        {"anyOf": [reference(schemas.Label), reference(schemas.Labels)]},
        {
            "one": {"id": "imp-1", "label": 1},
            "several": {"labels": [{"id": "imp-1", "label": 1}, {"id": "imp-2", "label": 0}]},
        },
    ),
    Form(NDJSON, text("A Label a line, as many as you like."), {"lines": '{"id": "imp-3", "label": 1}\n'}),
)
"""The body of labels."""

ONE_EXAMPLE: Final = request_body(Form(JSON, reference(schemas.ExampleWire), {"one": {"features": _NEWS}}))
"""The body of a request to explain."""

INFERRED: Final = request_body(
    Form(
        JSON,
        reference(schemas.InferRequestWire),
        {
            "tensors": {
                "id": "42",
                "inputs": [
                    {"name": "site", "shape": [2], "datatype": "BYTES", "data": ["news", "sport"]},
                    {"name": "bid", "shape": [2], "datatype": "FP32", "data": [0.5, 1.5]},
                ],
                "outputs": [{"name": "probability"}],
            }
        },
    )
)
"""The body of an inference."""

_ROW: Final = {"site": "news", "bid": 0.5}

INVOKED: Final = request_body(
    Form(
        JSON,
        reference(schemas.InvocationWire),
        {
            "dataframe_split": {"dataframe_split": {"columns": ["site", "bid"], "data": [["news", 0.5]]}},
            "dataframe_records": {"dataframe_records": [_ROW]},
            "instances": {"instances": [_ROW]},
            "inputs": {"inputs": {"site": ["news"], "bid": [0.5]}},
        },
    ),
    Form(CSV, text(FORMATS["csv"].text), {"rows": "site,bid\nnews,0.5\n"}),
)
"""The body of an invocation."""

BINARY: Final = {"type": "string", "format": "binary", "description": "A saved model."}

WHO_IS_PROMOTED: Final = request_body(
    Form(JSON, reference(schemas.WhoIsPromoted), {"a challenger": {"with": "b"}})
) | {"required": False}
"""The challenger's name, where the query does not say it."""

NEW_MODEL: Final = request_body(
    Form(
        JSON,
        reference(schemas.NewModel),
        {
            "one lane": {"bits": 18, "learning_rate": 0.1},
            "a rule": {
                "bits": 18,
                "optimizer": {"rule": "ftrl", "alpha": 0.05, "l1": 1},
                "interactions": ["site*hour"],
            },
            "as the service has it": {},
        },
    ),
    Form(SAFETENSORS, BINARY, {}),
) | {"required": False}
"""The settings of a new model, or its file."""
