"""Bodies of MLflow's scoring protocol (2.0 and later): tables in JSON to examples, and their answers.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.formats.delimited_labels import named_twice
from nonzero.formats.json_bodies import NOT_JSON
from nonzero_service.bodies.answers import probabilities
from nonzero_service.bodies.example_text import (
    BodyBounds,
    ExampleText,
    check_fields,
    elements_of,
    enveloped,
    too_long,
)
from nonzero_service.faults import shown_value
from nonzero_service.problems import Problem


class SplitTable(msgspec.Struct, forbid_unknown_fields=True):
    """What pandas calls a table in the orientation ``split``."""

    columns: list[str]
    data: msgspec.Raw
    index: msgspec.Raw = msgspec.Raw()


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request: one form of a table."""

    dataframe_split: SplitTable | None = None
    dataframe_records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: dict[str, msgspec.Raw] | None = None
    params: dict[str, msgspec.Raw] | None = None


FORMS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")

_invocation: Final = msgspec.json.Decoder(Invocation)


def read_invocation(body: bytes, most: BodyBounds) -> bytes:
    """Return the same as a JSON body of examples, which may come to so much.

    Raises
    ------
    Problem
        400 naming what is wrong; 413 where it is too much.
    """
    try:
        said = _invocation.decode(body)
        given = [name for name in FORMS if getattr(said, name) not in (None, msgspec.UNSET)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise Problem(400, f"the body has exactly one of {', '.join(FORMS)}; here it has {found}")
        if said.params:
            raise Problem(
                400, f"params has {shown_value(next(iter(said.params)))}; a model has no parameters here"
            )
        if said.dataframe_split is not None:
            return _of_split(said.dataframe_split, most)
        if said.inputs is not None:
            return _of_columns(said.inputs, most)
        records = said.instances if said.dataframe_records is msgspec.UNSET else said.dataframe_records
        return _of_records(records, given[0], most)
    except NOT_JSON as error:
        raise Problem(400, f"the body is no table as MLflow writes it: {error}") from error


def invocation_answer(found: NDArray[np.float32]) -> bytes:
    """Return the answer that has these probabilities."""
    return b'{"predictions":[%b]}' % probabilities(found)


def _of_split(table: SplitTable, most: BodyBounds) -> bytes:
    names = table.columns
    check_fields(len(names), most)
    if (twice := named_twice(names)) is not None:
        raise Problem(400, f"two columns are called {shown_value(twice)}; rename one")
    rows = _bounded(elements_of(table.data), most.examples)

    def cells(number: int, row: msgspec.Raw) -> tuple[msgspec.Raw, ...]:
        found = elements_of(row)
        if len(found) != len(names):
            raise Problem(400, f"row {number} of data has {len(found)} values, and columns has {len(names)}")
        return tuple(found)

    return ExampleText(names, most.nbytes).body(cells(k + 1, row) for k, row in enumerate(rows))


def _of_columns(columns: dict[str, msgspec.Raw], most: BodyBounds) -> bytes:
    check_fields(len(columns), most)
    lists = {name: _bounded(elements_of(column), most.examples) for name, column in columns.items()}
    sizes = {len(values) for values in lists.values()}
    if len(sizes) != 1:
        told = ", ".join(f"{shown_value(name)} has {len(values)}" for name, values in [*lists.items()][:10])
        raise Problem(400, f"the inputs are columns with as many values each; {told or 'there are none'}")
    return ExampleText(list(lists), most.nbytes).body(zip(*lists.values(), strict=True))


def _of_records(records: msgspec.Raw | msgspec.UnsetType, form: str, most: BodyBounds) -> bytes:
    assert isinstance(records, msgspec.Raw)  # noqa: S101 - it was given
    rows = _bounded(elements_of(records), most.examples)
    for k, row in enumerate(rows):
        if not bytes(row).startswith(b"{"):
            raise Problem(
                400,
                f"{form} is a list of objects, which name their fields; number {k + 1} is "
                f"{bytes(row)[:40].decode(errors='replace')}",
            )
    text = enveloped([b'{"features":%b}' % row for row in rows])
    if len(text) > most.nbytes:
        raise too_long(most.nbytes)
    return text


def _bounded(rows: list[msgspec.Raw], most: int) -> list[msgspec.Raw]:
    if len(rows) > most:
        raise Problem(413, f"a request has at most {most} rows, not {len(rows)}; send fewer at once")
    return rows
