"""SourceUrl: where a model learns from beside HTTP, as one address says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BeforeValidator, InstanceOf

SCHEME: Final = "kafka"

FORMATS: Final = ("json", "ndjson", "vw", "libsvm")
"""How a message may be read: those whose lines mean the same wherever they stand."""

TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
MODEL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
PORTS: Final = 65_535
DURATION: Final = re.compile(r"([0-9]+)(ms|s|m|h|d)")
UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

EXAMPLE: Final = "kafka://broker1:9092,broker2:9092/clicks?format=ndjson&model=default"

Start = Literal["earliest", "latest"]
Lost = Literal["refuse", "skip"]


class SourceUrl(NamedTuple):
    """Where a model learns from, and how.

    Parameters
    ----------
    brokers
        HOST:PORT of some brokers; these know the others.
    topic
        The topic of examples, or of impressions where `labels` names their clicks; None: there is none.
    labels
        The topic of clicks; None: there is none.
    format
        How a message of `topic` is read, one of :data:`FORMATS`.
    model
        The model that learns.
    start
        Where reading begins in a partition of which the journal says nothing.
    lost
        What is done where records are gone that were not read yet.
    errors
        The topic that messages go to which cannot be read; None: they are only counted and named.
    topic_ids
        The topics that are meant, where one of the same name was made anew.
    wait_ms
        How long, in event time, a click may come before its impression.
    """

    brokers: tuple[str, ...]
    topic: str | None
    labels: str | None = None
    format: str = "ndjson"
    model: str = "default"
    start: Start = "earliest"
    lost: Lost = "refuse"
    errors: str | None = None
    topic_ids: tuple[str, ...] = ()
    wait_ms: int = 600_000

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are read."""
        return tuple(topic for topic in (self.topic, self.labels) if topic is not None)

    def __str__(self) -> str:
        """Return the address without its query."""
        return f"{SCHEME}://{','.join(self.brokers)}/{self.topic or ''}"


def _one_of(*values: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in values:
            raise ValueError(f"{name} is {value!r}; give {_listed(values)}")
        return value

    return read


def _topic(name: str, value: str) -> str:
    if name == "the topic" and "&" in value:
        raise ValueError(
            f"a & stands in {value[:64]!r} before any ?; parameters begin with ?, as in {EXAMPLE}"
        )
    if not TOPIC.fullmatch(value) or value in (".", ".."):
        raise ValueError(
            f"{name} is {value[:64]!r}, which is no name of a topic: that has 1 to 249 letters, digits, "
            "dots, hyphens and underscores"
        )
    return value


def _model(name: str, value: str) -> str:
    if not MODEL.fullmatch(value):
        raise ValueError(
            f"{name} is {value[:80]!r}, which is no name of a model: that has 1 to 64 small letters, digits, "
            "hyphens and underscores, a letter or a digit first"
        )
    return value


def _ids(name: str, value: str) -> tuple[str, ...]:
    ids = tuple(part.strip() for part in value.split(",") if part.strip())
    if not ids:
        raise ValueError(
            f"{name} is empty; give the id that `kafka-topics --describe` shows, or leave it out"
        )
    return ids


def _duration(name: str, value: str) -> int:
    found = DURATION.fullmatch(value)
    if found is None:
        raise ValueError(f"{name} is {value!r}; give a number and its unit, such as 90s, 10m or 2h")
    return int(found[1]) * UNIT_MS[found[2]]


QUERY: Final[Mapping[str, tuple[str, Callable[[str, str], Any]]]] = {
    "format": ("format", _one_of(*FORMATS)),
    "model": ("model", _model),
    "labels": ("labels", _topic),
    "start": ("start", _one_of("earliest", "latest")),
    "lost": ("lost", _one_of("refuse", "skip")),
    "errors": ("errors", _topic),
    "topic_id": ("topic_ids", _ids),
    "wait": ("wait_ms", _duration),
}
"""What may stand in the query: its place in :class:`SourceUrl`, and what reads it."""


def read_source(text: str) -> SourceUrl:
    """Read one address of a source.

    Parameters
    ----------
    text
        Such as ``kafka://broker:9092/clicks?format=vw&model=ads``.

    Raises
    ------
    ValueError
        Where anything in it cannot be used; what it says repeats no password.

    Examples
    --------
    >>> source = read_source("kafka://a:9092,b/shown?format=vw&model=ads&labels=clicks&wait=2m")
    >>> source.brokers, source.topics, source.model, source.wait_ms
    (('a:9092', 'b'), ('shown', 'clicks'), 'ads', 120000)
    """
    try:
        address = urlsplit(text.strip())
    except ValueError:  # it names no value
        raise ValueError(
            f"{_shown(text)} is no address: a bracket is open; an IPv6 broker is [ADDRESS]:PORT"
        ) from None
    if address.scheme != SCHEME:
        raise ValueError(f"{_shown(text)} begins with no {SCHEME}://; a source is such as {EXAMPLE}")
    if "@" in address.netloc:  # nothing of it is repeated: it may be a password
        raise ValueError(
            "a user or a password stands in the address, where logs and lists of processes show it; put "
            "sasl.username and sasl.password into the file that source_config names"
        )
    if address.fragment:
        raise ValueError(f"nothing is read behind #, where {address.fragment[:64]!r} stands; leave it out")
    brokers = tuple(part.strip() for part in address.netloc.split(",") if part.strip())
    for broker in brokers:
        found = BROKER.fullmatch(broker)
        if found is None:
            raise ValueError(
                f"{broker[:80]!r} is no broker; name it as HOST:PORT, several with commas between"
            )
        if found[2] and not 0 < int(found[2][1:]) <= PORTS:
            raise ValueError(f"the broker {broker[:80]!r} has a port that is none; give one of 1 to {PORTS}")
    if not brokers:
        raise ValueError(f"it names no broker; a source is such as {EXAMPLE}")
    topic = unquote(address.path.removeprefix("/"))
    values = {"topic": _topic("the topic", topic) if topic else None, **_query(address.query)}
    if "wait_ms" in values and "labels" not in values:
        raise ValueError("wait says how long clicks wait, and no topic of clicks is named; add labels=TOPIC")
    source = SourceUrl(brokers=brokers, **values)
    _check_topics(source)
    return source


def _query(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name == "topic":
            raise ValueError(
                "the topic stands before the ?, behind the brokers; a source is such as " + EXAMPLE
            )
        if name not in QUERY:
            nearest = get_close_matches(name, QUERY, 1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(sorted(QUERY))}"
            raise ValueError(f"there is no {name[:64]!r} of a source; {hint}")
        member, read = QUERY[name]
        if member in values:
            raise ValueError(f"{name} stands twice; give it once")
        values[member] = read(name, value)
    return values


def _check_topics(source: SourceUrl) -> None:
    """Refuse a source that reads nothing, or reads what it writes."""
    topics = source.topics
    if not topics:
        raise ValueError(f"it names no topic; a source is such as {EXAMPLE}")
    if len(set(topics)) < len(topics):
        raise ValueError(
            f"labels is {source.labels!r}, the topic of the impressions; name that of the clicks"
        )
    if source.topic is None and source.format != SourceUrl._field_defaults["format"]:
        raise ValueError(
            f"format is {source.format!r}, and no topic of examples is named, which it is of; clicks are "
            "JSON objects, so leave it out"
        )
    if source.errors in topics:
        raise ValueError(f"errors is {source.errors!r}, which is read too: it would be read again for ever")


def read_sources(value: Any) -> tuple[SourceUrl, ...]:
    """Read the addresses of all sources: a list of them, or text with white space between.

    Raises
    ------
    ValueError
        For one that cannot be read, and for two of one model.
    """
    texts = value.split() if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(one, str | SourceUrl) for one in texts):
        raise ValueError(f"it is no list of addresses, such as {EXAMPLE}")
    sources = [one if isinstance(one, SourceUrl) else read_source(one) for one in texts]
    models: set[str] = set()
    for source in sources:
        if source.model in models:
            raise ValueError(
                f"two sources are for the model {source.model!r}, and one is all that it may have; let the "
                "other have a model of its own (model=NAME)"
            )
        models.add(source.model)
    return tuple(sources)


def _shown(text: str) -> str:
    """Show how an address begins, without what could be a password."""
    return repr(text[:32]) if "@" not in text else "the address"


def _listed(values: tuple[str, ...]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}"


SourceUrls = Annotated[tuple[InstanceOf[SourceUrl], ...], BeforeValidator(read_sources)]
"""Where models learn from beside HTTP: at most one source of each."""
