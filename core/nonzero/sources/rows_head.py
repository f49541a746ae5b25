"""What a rows file says of its rows: how they were hashed at its beginning, what came at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nonzero.errors import FormatError, SettingsError
from nonzero.fields.schema import Schema


@dataclass(frozen=True)
class RowsHead:
    """What stands before the rows: how names and values became numbers.

    Parameters
    ----------
    schema
        What the fields were declared as, with the separator of namespaces.
    formats
        The text formats that the rows came in.
    table
        What was found of the tables among them, as :meth:`nonzero.sources.tables.Tables.to_dict` says it.
        None where there were none.

    Examples
    --------
    >>> head = RowsHead(Schema({"bid": "number"}), ("ndjson",))
    >>> RowsHead.of_json(head.to_json()) == head
    True
    """

    schema: Schema
    formats: tuple[str, ...]
    table: Mapping[str, Any] | None = None

    def to_json(self) -> bytes:
        """Return it as a file holds it.

        Returns
        -------
        bytes
            JSON.

        Examples
        --------
        >>> RowsHead(Schema(), ("vw",)).to_json()[:17]
        b'{"formats":["vw"]'
        """
        said = {
            "formats": [*self.formats],
            "schema": self.schema.to_dict(),
            "namespace_separator": self.schema.namespace_separator,
            "table": self.table,
        }
        return json.dumps(said, separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, text: bytes) -> RowsHead:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        text
            JSON.

        Returns
        -------
        RowsHead

        Raises
        ------
        FormatError
            For what no release has written.

        Examples
        --------
        >>> try:
        ...     RowsHead.of_json(b"{}")
        ... except FormatError as error:
        ...     print(error)
        its head does not say what the rows were hashed with: KeyError('schema')
        """
        try:
            said = json.loads(text)
            schema = Schema.of(said["schema"], namespace_separator=said["namespace_separator"])
            table = said["table"]
            if table is not None and not {"label", "columns", "needed", "boolean"} <= set(table):
                raise ValueError(f"its table has {sorted(table)}")
            return cls(schema, tuple(map(str, said["formats"])), table)
        except (ValueError, KeyError, TypeError, SettingsError) as error:
            raise FormatError(f"its head does not say what the rows were hashed with: {error!r}") from error


@dataclass(frozen=True)
class RowsFoot:
    """What stands after the rows: how many there are, and which fields came.

    Parameters
    ----------
    examples, nonzeros
        How many there are.
    fields
        The names of the fields that came, and the kind in which each was judged where none was declared:
        ``"category"``, ``"number"``, ``"both"``, or ``""``.
    complete
        Whether there was room for the names of all: of very many, the first 4,096 are known. A field that
        came in a few lines alone, among many others that were new, may be missing all the same.
    """

    examples: int
    nonzeros: int
    fields: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True

    @classmethod
    def of_schema(cls, examples: int, nonzeros: int, schema: Schema) -> RowsFoot:
        r"""Say which fields a schema has met.

        Parameters
        ----------
        examples, nonzeros
            How many rows were written.
        schema
            The very object by which they were read.

        Returns
        -------
        RowsFoot

        Examples
        --------
        >>> from nonzero import formats
        >>> schema = Schema()
        >>> batch = formats.parse(b"1 |site news\n", "vw", schema=schema)
        >>> RowsFoot.of_schema(1, 1, schema).fields
        {'site': 'category'}
        """
        kinds = schema.known.kinds_met()
        twice = schema.conflicts.counts()
        fields = {name: "both" if kind and name in twice else kind for name, kind in kinds.items()}
        return cls(examples, nonzeros, fields, not schema.known.is_full)

    def joined_with(self, others: Sequence[RowsFoot], schema: Schema) -> RowsFoot:
        """Return the same with the fields that others have: of rows that came from other rows files.

        Parameters
        ----------
        others
            What stands after those rows; none of their counts is added.
        schema
            What is declared of all of them: its fields are in the head.

        Returns
        -------
        RowsFoot

        Examples
        --------
        >>> RowsFoot(3, 9, {"a": "number"}).joined_with([RowsFoot(2, 2, {"a": "category"})], Schema()).fields
        {'a': 'both'}
        """
        fields = dict(self.fields)
        for other in others:
            for name, kind in other.fields.items():
                if name not in schema.fields:
                    fields[name] = _together(fields.get(name, ""), kind)
        complete = self.complete and all(other.complete for other in others)
        return RowsFoot(self.examples, self.nonzeros, fields, complete)

    def to_json(self) -> bytes:
        """Return it as a file holds it.

        Returns
        -------
        bytes
            JSON.

        Examples
        --------
        >>> RowsFoot(1, 2).to_json()
        b'{"examples":1,"nonzeros":2,"fields":{},"complete":true}'
        """
        return json.dumps(vars(self), separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, text: bytes) -> RowsFoot:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        text
            JSON.

        Returns
        -------
        RowsFoot

        Raises
        ------
        FormatError
            For what no release has written.

        Examples
        --------
        >>> RowsFoot.of_json(RowsFoot(1, 2).to_json()).nonzeros
        2
        """
        try:
            said = json.loads(text)
            fields = {str(name): str(kind) for name, kind in said["fields"].items()}
            return cls(int(said["examples"]), int(said["nonzeros"]), fields, bool(said["complete"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"its end does not say what the rows are: {error!r}") from error


def _together(one: str, other: str) -> str:
    return one if one == other or not other else other if not one else "both"
