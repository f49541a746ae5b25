"""The properties of the client of Kafka, as an operator's file says them: TOML, or a ``name=value`` a line.

None of their values is ever shown: which of them is a secret, only who wrote them knows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nonzero_service.kafka.errors import SourceConfigError

Properties = dict[str, str | int | float | bool]

_FROM_THE_JOURNAL: Final = "how far topics were read stands in the journal, which each message is in once"

REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "the brokers stand in the address of the source",
    "metadata.broker.list": "the brokers stand in the address of the source",
    **dict.fromkeys(
        (
            "group.id",
            "group.instance.id",
            "group.protocol",
            "group.remote.assignor",
            "partition.assignment.strategy",
            "enable.auto.commit",
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.method",
            "auto.offset.reset",
        ),
        _FROM_THE_JOURNAL,
    ),
    "isolation.level": "what a transaction has not committed is never read",
    "enable.partition.eof": "the end of a partition is found otherwise",
    **dict.fromkeys(
        ("transactional.id", "enable.idempotence", "acks", "request.required.acks"),
        "what is sent is there when it is acknowledged",
    ),
}
"""The properties that are not an operator's, and why: they would break what is promised."""


def read_properties(path: Path) -> Properties:
    """Read the properties of a file.

    Parameters
    ----------
    path
        The file. One that ends in ``.toml``, or can be read so, is TOML: its tables are parts of names.

    Raises
    ------
    SourceConfigError
        Where it cannot be read, or sets what it may not.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SourceConfigError(f"source_config is {str(path)!r}, which cannot be read: {why}") from None
    try:
        found = dict(_flat(tomllib.loads(text), path))
    except tomllib.TOMLDecodeError as error:
        if path.suffix == ".toml":
            # Its words are safe: they name a place, or a character.
            raise SourceConfigError(f"source_config is {str(path)!r}, which is no TOML: {error}") from None
        found = dict(_lines(text, path))
    for name in found:
        if why := REFUSED.get(name):
            raise SourceConfigError(f"source_config sets {name}, which it may not: {why}; leave it out")
    return found


def _flat(table: Mapping[str, Any], path: Path, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = prefix + key
        if isinstance(value, Mapping):
            yield from _flat(value, path, f"{name}.")
        elif isinstance(value, str | int | float):  # booleans are whole numbers
            yield name, value
        else:
            raise SourceConfigError(
                f"source_config is {str(path)!r}, where {name} is a {type(value).__name__}; a property is "
                "text, a number or a boolean"
            )


def _lines(text: str, path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#!;":
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        where = f"source_config is {str(path)!r}, whose line {number}"
        if not equals or not name or " " in name:
            raise SourceConfigError(f"{where} is no name=value, such as security.protocol=SASL_SSL")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            raise SourceConfigError(
                f"{where} has quotes about its value, as TOML has; leave them out, or write the whole file "
                "as TOML"
            )
        yield name, value
