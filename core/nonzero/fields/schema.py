"""Schema: the kind of each field, declared once and obeyed wherever bytes or values become rows."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from nonzero.errors import SettingsError
from nonzero.fields.conflicts import Conflicts
from nonzero.fields.known import Known

KINDS: Final = ("category", "number", "ignore")
"""What a field can be declared as."""

DEFAULTS: Final = ("infer", "category", "number", "refuse")
"""What can be said of all other fields."""

SEPARATORS: Final = ("=", "^")
"""What can stand between a namespace of VW text and a feature in the feature's name."""

MAX_FIELDS: Final = 4096
"""A schema has at most so many names and patterns."""

MAX_PATTERNS: Final = 256
"""At most so many of them are patterns: an unknown name is held against each."""

MAX_NAME: Final = 255
"""The longest name or pattern in a schema, in bytes."""


class Schema:
    """What each field of a model is: an immutable value, equal to any other that says the same.

    Parameters
    ----------
    fields
        The kind of each field by its name: ``"category"``, ``"number"`` or ``"ignore"``. A ``*`` in a name
        stands for any text, also for none. An exact name wins over patterns; of several patterns that fit,
        the one with the most bytes beside its stars wins, then the one with fewer stars, then the first in
        alphabetical order.
    default
        What all other fields are: ``"infer"`` (each value is judged by itself), ``"category"``,
        ``"number"``, or ``"refuse"``: a field that is not declared is an error.
    namespace_separator
        How a feature ``f`` of the namespace ``ns`` of VW text is named: ``"="`` for ``ns=f``, which is
        what ``{"ns": "f"}`` is named in JSON, or ``"^"`` for ``ns^f``.

    Attributes
    ----------
    fields
        The declared kinds, by name; read-only.
    default, namespace_separator
        As given.
    conflicts
        What came in another kind than it should, counted by whoever reads with this very object: it is no
        part of its value.

    Raises
    ------
    SettingsError
        For a kind, a default or a separator that is unknown, and for names that are none.

    Examples
    --------
    >>> schema = Schema({"site": "category", "bid": "number", "*_id": "ignore"}, default="category")
    >>> [schema.kind_of(name) for name in ("site", "bid", "request_id", "hour")]
    ['category', 'number', 'ignore', 'category']
    >>> Schema.of(schema.to_dict()) == schema
    True
    """

    __slots__ = ("__dict__", "_hash", "default", "fields", "namespace_separator")

    def __init__(
        self, fields: Mapping[str, str] | None = None, default: str = "infer", namespace_separator: str = "="
    ) -> None:
        self.fields: Mapping[str, str] = MappingProxyType(_checked(fields or {}))
        if default not in DEFAULTS:
            raise SettingsError(f"the schema's default is {default!r}; it is one of {', '.join(DEFAULTS)}")
        self.default = default
        if namespace_separator not in SEPARATORS:
            raise SettingsError(f"namespace_separator is {namespace_separator!r}; it is '=' or '^'")
        self.namespace_separator = namespace_separator
        self._hash = hash((frozenset(self.fields.items()), default, namespace_separator))

    @classmethod
    def of(
        cls,
        given: Schema | Mapping[str, Any] | None,
        default: str | None = None,
        namespace_separator: str | None = None,
    ) -> Schema:
        """Make one of what it may be given as.

        Parameters
        ----------
        given
            A schema; a mapping of names to kinds; what :meth:`to_dict` returns; None for one that declares
            nothing.
        default, namespace_separator
            As for the constructor; None: as `given` has it.

        Returns
        -------
        Schema
            `given` itself where it is a schema that already says all that.

        Raises
        ------
        SettingsError
            As the constructor does, and where `given` is something else.

        Examples
        --------
        >>> Schema.of({"bid": "number"}, default="refuse")
        Schema({'bid': 'number'}, default='refuse', namespace_separator='=')
        """
        if isinstance(given, Schema):
            same = default in (None, given.default) and namespace_separator in (
                None,
                given.namespace_separator,
            )
            if same:
                return given
            fields: Mapping[str, str] = given.fields
            default, separator = default or given.default, given.namespace_separator
        elif given is None:
            fields, separator = {}, "="
        elif not isinstance(given, Mapping):
            raise SettingsError(
                f"the schema is {given!r:.60}; give the kind of each field, such as "
                '{"site": "category", "bid": "number"}'
            )
        elif isinstance(given.get("fields"), Mapping):
            unknown = sorted(set(given) - {"fields", "default"})
            if unknown:
                raise SettingsError(f"a schema has no member {unknown[0]!r}; it has fields and default")
            fields, separator = given["fields"], "="
            default = given.get("default", "infer") if default in (None, "infer") else default
        elif set(given) == {"default"}:
            raise SettingsError(
                'the schema has nothing but a "default": give {"fields": {}, "default": ...} for what all '
                'fields are, or {"fields": {"default": ...}} for a field of that name'
            )
        else:
            fields, separator = given, "="
        return cls(fields, default or "infer", namespace_separator or separator)

    def to_dict(self) -> dict[str, Any]:
        """Return what the schema says, as JSON holds it; without the separator.

        Returns
        -------
        dict
            ``{"fields": {...}, "default": "..."}``, which :meth:`of` reads.

        Examples
        --------
        >>> Schema({"bid": "number"}).to_dict()
        {'fields': {'bid': 'number'}, 'default': 'infer'}
        """
        return {"fields": dict(self.fields), "default": self.default}

    def kind_of(self, name: str) -> str:
        """Return what a field is: its declared kind, or else the default.

        Parameters
        ----------
        name
            The field's whole name.

        Returns
        -------
        str
            ``"category"``, ``"number"``, ``"ignore"``, ``"infer"`` or ``"refuse"``.

        Examples
        --------
        >>> Schema({"user*": "ignore", "user_age": "number"}).kind_of("user_age")
        'number'
        """
        return self.known.kind_named(name.encode(errors="surrogateescape"))

    def unknown_field(self, name: str) -> str:
        """Return the reason why a field that is not declared is refused; it names the nearest known one.

        Parameters
        ----------
        name
            The field's whole name, as it came.

        Returns
        -------
        str
            A sentence for whoever sent it; it tells at most 40 characters of the name.

        Examples
        --------
        >>> "did you mean 'site'?" in Schema({"site": "category"}, default="refuse").unknown_field("sit")
        True
        """
        known = [field for field in self.fields if "*" not in field]
        # What is made of I1 is called I1_bucket, to which C1 is nearer by its letters.
        made = [field for field in known if field.startswith(f"{name}_")]
        near = made[:1] or get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        shown = repr(name if len(name) <= 40 else name[:40] + "...")
        return (
            f"the field {shown} is not in the model's schema, which refuses others; "
            f"{hint}add it, or leave it out"
        )

    @property
    def patterns(self) -> list[tuple[str, str]]:
        """The patterns and their kinds, the one that wins first."""
        found = [(name, kind) for name, kind in self.fields.items() if "*" in name]
        return sorted(
            found, key=lambda one: (one[0].count("*") - len(one[0].encode()), one[0].count("*"), one[0])
        )

    @cached_property
    def known(self) -> Known:
        """What compiled parsers ask, and what they have met."""
        return Known(self.fields, self.patterns, self.default)

    @property
    def conflicts(self) -> Conflicts:
        """What came in another kind than it should."""
        return self.known.conflicts

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Schema)
            and (self.fields, self.default, self.namespace_separator)
            == (other.fields, other.default, other.namespace_separator)
        )

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema, (dict(self.fields), self.default, self.namespace_separator)

    def __repr__(self) -> str:
        return (
            f"Schema({dict(self.fields)!r}, default={self.default!r}, "
            f"namespace_separator={self.namespace_separator!r})"
        )


def _checked(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the kinds by name, in alphabetical order: schemas that say the same are written alike."""
    if len(fields) > MAX_FIELDS:
        raise SettingsError(
            f"the schema has {len(fields)} fields; it has at most {MAX_FIELDS}: use * patterns, or a default"
        )
    for name, kind in fields.items():
        if not isinstance(name, str) or not name:
            raise SettingsError(
                f"the schema has the name {name!r}; a field's name is a text that is not empty"
            )
        try:
            size = len(name.encode())
        except UnicodeEncodeError as error:
            raise SettingsError(f"the schema has the name {name!r}, which UTF-8 cannot write") from error
        if size > MAX_NAME:
            raise SettingsError(
                f"the schema has a name of {size} bytes, {name[:40]!r}...; {MAX_NAME} is the most"
            )
        if kind not in KINDS:
            raise SettingsError(
                f"the schema says that {name!r} is {kind!r}; a kind is one of {', '.join(KINDS)}"
            )
    patterns = sum("*" in name for name in fields)
    if patterns > MAX_PATTERNS:
        raise SettingsError(f"the schema has {patterns} patterns; it has at most {MAX_PATTERNS}")
    return dict(sorted(fields.items()))


class _Untracked(Schema):
    """A schema that declares nothing and takes note of nothing."""

    @cached_property
    def known(self) -> Known:
        return Known({}, [], "infer", more=0)


untracked: Final = _Untracked()
"""For who hands over no schema: values are judged one by one, and nobody asks what came."""
