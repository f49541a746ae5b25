"""Bodies and answers of MLflow's scoring protocol."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from nonzero_service.api.schemas.wire import Wire


class SplitTableWire(Wire):
    """A table, as pandas writes it in the orientation `split`."""

    columns: list[str]
    data: list[list[Any]] = Field(description="Rows, of a value for each column.")
    index: list[Any] = Field([], description="Passed over.")


class InvocationWire(Wire):
    """Exactly one form of a table."""

    dataframe_split: SplitTableWire | None = None
    dataframe_records: list[dict[str, Any]] | None = Field(None, description="Rows, which name their fields.")
    instances: list[dict[str, Any]] | None = Field(None, description="The same.")
    inputs: dict[str, list[Any]] | None = Field(None, description="Columns, of as many values each.")


class InvocationAnswer(Wire):
    """The probability of each row, in order."""

    predictions: list[float]


class InvocationProblem(BaseModel):
    """Any error on a path of the protocol."""

    error_code: str
    message: str
