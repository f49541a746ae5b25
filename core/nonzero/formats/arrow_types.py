"""What an Arrow type is as a feature, and what to do with one that is none."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from nonzero.errors import FormatError
from nonzero.fields.known import CATEGORY, INFER, NUMBER
from nonzero.formats.arrow_import import import_arrow

UUID: Final = "arrow.uuid"
BOOL8: Final = "arrow.bool8"


class Meaning(Enum):
    """What values of a type are."""

    NOTHING = "nothing"
    TEXT = "text"
    TRUTH = "truth"
    NUMBER = "number"
    MOMENT = "moment"


def listed(kind: Any) -> Any:
    """Return the type of the elements of a type of lists; None for any other."""
    tests = import_arrow().types
    lists = (
        tests.is_list,
        tests.is_large_list,
        tests.is_fixed_size_list,
        tests.is_list_view,
        tests.is_large_list_view,
    )
    return kind.value_type if any(test(kind) for test in lists) else None


def plain(kind: Any) -> Any:
    """Return the type of what stands behind codes, or runs."""
    tests = import_arrow().types
    while tests.is_dictionary(kind) or tests.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def meaning_of(kind: Any, column: str) -> Meaning:
    """Return what values of a type are; codes and runs are what they stand for.

    Raises
    ------
    FormatError
        For a type that is no feature; it names the column, the type and the way out.
    """
    tests = import_arrow().types
    kind = plain(kind)
    if tests.is_null(kind):
        return Meaning.NOTHING
    if tests.is_boolean(kind) or _extension(kind) == BOOL8:
        return Meaning.TRUTH
    if tests.is_integer(kind) or tests.is_floating(kind) or tests.is_decimal(kind):
        return Meaning.NUMBER
    if tests.is_date(kind) or tests.is_timestamp(kind) or tests.is_time(kind):
        return Meaning.MOMENT
    if is_text(kind) or is_binary(kind) or _extension(kind) == UUID:
        return Meaning.TEXT
    raise FormatError(f"the column {column!r} is {_named(kind)}, which is no feature; {_way_out(kind)}")


def has_cells(kind: Any) -> bool:
    """Whether values are features, one each: cells of delimited text."""
    try:
        return listed(kind) is None and meaning_of(kind, "") is not Meaning.NOTHING
    except FormatError:
        return False


def is_text(kind: Any) -> bool:
    """Whether values are text."""
    tests = import_arrow().types
    return bool(tests.is_string(kind) or tests.is_large_string(kind) or tests.is_string_view(kind))


def is_view(kind: Any) -> bool:
    """Whether values are views of buffers, of which pyarrow can do little."""
    tests = import_arrow().types
    return bool(tests.is_string_view(kind) or tests.is_binary_view(kind))


def is_binary(kind: Any) -> bool:
    """Whether values are bytes."""
    tests = import_arrow().types
    return bool(
        tests.is_binary(kind)
        or tests.is_large_binary(kind)
        or tests.is_fixed_size_binary(kind)
        or tests.is_binary_view(kind)
    )


def kind_as(kind: int, arrow_type: Any, column: str) -> int:
    """Return whether the values of a column are categories or numbers, where its kind may be inferred.

    Parameters
    ----------
    kind
        CATEGORY, NUMBER or INFER: what was said of the column.
    arrow_type
        The column's type.
    column
        Its name.

    Raises
    ------
    FormatError
        For a type that is no feature, or contradicts what was said.
    """
    element = listed(arrow_type)
    if element is not None:
        meaning = meaning_of(element, column)
        if kind == NUMBER:
            raise FormatError(
                f"the column {column!r} is {_named(arrow_type)}, and a number, says the schema; give one "
                f"number a row, or declare it a category: each element is a value then"
            )
        if kind == INFER and meaning not in (Meaning.TEXT, Meaning.NOTHING):
            raise FormatError(
                f"the column {column!r} is {_named(arrow_type)}; a list holds texts. Declare the field as a "
                f"category, and each element is a value of it"
            )
        return CATEGORY
    meaning = meaning_of(arrow_type, column)
    if kind == NUMBER and meaning is Meaning.MOMENT:
        raise FormatError(
            f"the column {column!r} is {_named(arrow_type)}, and a number, says the schema; make a number of "
            "it, such as the hour of the day, or declare it a category, or ignore it"
        )
    if kind == INFER:
        return NUMBER if meaning in (Meaning.NUMBER, Meaning.TRUTH) else CATEGORY
    return kind


def _extension(kind: Any) -> str:
    return str(kind.extension_name) if isinstance(kind, import_arrow().BaseExtensionType) else ""


def _named(kind: Any) -> str:
    """Return a type's name, not too long."""
    text = f"an extension ({_extension(kind)})" if _extension(kind) else f"of the type {kind}"
    return text if len(text) <= 80 else text[:80] + "..."


def _way_out(kind: Any) -> str:
    tests = import_arrow().types
    leave = "or leave the column out: ignore it"
    if tests.is_struct(kind):
        return f"make columns of its members (Table.flatten of pyarrow, unnest of polars and DuckDB), {leave}"
    if tests.is_map(kind):
        return f"make a column of each key, {leave}"
    if listed(kind) is not None:
        return f"flatten the lists in it, {leave}"
    if tests.is_duration(kind) or tests.is_interval(kind):
        return f"cast it to an integer, {leave}"
    if tests.is_union(kind):
        return f"make one column of each of its types, {leave}"
    if _extension(kind):
        return f"give what it is stored as, {kind.storage_type}, {leave}"
    return f"cast it to text or a number, {leave}"
