"""ClientLog: what the client of Kafka says, once and not a thousand times while a broker is away."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import structlog

from nonzero_service.incidental import incidentally
from nonzero_service.kafka.errors import SourceError, SourceRefusedError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, ThrottleEvent

_CHANGED: Final = re.compile(r"Topic (\S+) changed id from (\S+) to (\S+)$")

_THREAD: Final = re.compile(r"^\[thrd:[^\]]*\]: ")
_AFTER: Final = re.compile(r" \(after \d+ms in state (\w+)[^)]*\)")
"""What differs each time that something fails in the same way, so that it would be said again each time."""

_LETTING_IN: Final = ("AUTH_", "SSL_HANDSHAKE")
"""How the states begin in which brokers do not let us in: an error, which the source says."""

CALM_SECONDS: Final = 3.0
"""So long nothing is complained of before what was said is forgotten: of several brokers one may be away."""

THROTTLED_SECONDS: Final = 3600.0
"""So often it is said that brokers hold the client back: by a quota they do it with each answer."""

_USELESS: Final = frozenset({"CONFWARN", "REQTMOUT"})
"""That a property is of another kind of client; that a request took too long, which is tried again."""


class ClientLog:
    """What a client says, from the thread that polls it.

    Parameters
    ----------
    without_values
        Takes out of a text what nobody is to see.
    topic_changed
        Is told a topic's name and its id, when the client learns it. That is before any record of that id
        comes: what the client says and what it has read wait in one queue.
    """

    DEBUG: ClassVar[str] = "metadata"
    """What the client has to say beside its complaints: by this it tells when a topic's id changes."""

    def __init__(
        self, without_values: Callable[[str], str], topic_changed: Callable[[str, str], None] | None = None
    ) -> None:
        self.failure: SourceError | None = None
        """Why the brokers do not let us in; None: they do, or have not been asked."""
        self._without_values = without_values
        self._topic_changed = topic_changed
        self._log = structlog.get_logger("kafka")
        self._said: set[str] = set()
        self._answered = False
        self._complained_at = 0.0
        self._throttled_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def callbacks(self) -> dict[str, Any]:
        """The properties of a client by which it tells this log."""
        return {"logger": self, "throttle_cb": self.throttled, "error_cb": self.error}

    def log(self, level: int, _form: str, *said: str) -> None:
        """Take a line: the client calls this as it would a logger's.

        Parameters
        ----------
        level
            How bad it is, as :mod:`logging` counts.
        said
            What it is about in one word, the client's name, and the text.
        """
        about, text = said[0], said[-1]
        if about == "METADATA":
            if self._topic_changed and (found := _CHANGED.search(text)):
                self._topic_changed(found[1], found[3])
        elif level >= logging.WARNING and about not in _USELESS and not _is_of_letting_in(text):
            self._say(about, text)

    def error(self, error: KafkaError) -> None:
        """Take what is not about one record.

        Parameters
        ----------
        error
            What has happened.
        """
        from confluent_kafka import KafkaError

        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self.failure = SourceRefusedError(
                f"the brokers do not let us in: {self._without_values(plain(error.str()))}; look at "
                "security.protocol, the user and the certificates in the file that source_config names"
            )
        elif error.fatal():
            self.failure = SourceError(f"the client of Kafka has failed: {self._without_values(error.str())}")
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # it is said of each before
            self._say("FAIL", error.str())  # the same that it logs

    def throttled(self, event: ThrottleEvent) -> None:
        """Take note that a broker holds its answers back, as a quota tells it to.

        Nothing fails by it, even where a quota far below the size of producers' batches lets nothing come.

        Parameters
        ----------
        event
            Which broker, and for how long.
        """
        now = time.monotonic()
        if event.throttle_time <= 0 or now < self._throttled_at + THROTTLED_SECONDS:
            return
        self._throttled_at = now
        incidentally(
            self._log.warning,
            "the brokers hold the client back: it has a quota",
            broker=event.broker_name,
            seconds=round(event.throttle_time, 3),
        )

    def away(self, reason: str) -> None:
        """Say, if it is not said yet, that the brokers cannot be reached, and are waited for.

        Parameters
        ----------
        reason
            Why they cannot be.
        """
        self._say("FAIL", reason)

    @property
    def is_away(self) -> bool:
        """Whether something was said of brokers that have not answered since."""
        return bool(self._said)

    def answered(self) -> None:
        """Take note that the brokers answer. What was complained of before may not be heard yet."""
        self._answered = True

    def heard_all(self) -> None:
        """Take note that all is heard that the client has said: its complaints wait among its records.

        Now it is said that the brokers answer again, if anything else was said, and is said no more.
        """
        with self._lock:
            calm = time.monotonic() >= self._complained_at + CALM_SECONDS
            if not (self._said and self._answered and calm):
                return
            self._said = set()
        incidentally(self._log.info, "the brokers of Kafka answer again")

    def _say(self, about: str, text: str) -> None:
        with self._lock:
            self._complained_at = time.monotonic()
            self._answered = False
            if about in self._said:
                return
            self._said.add(about)
        reason = self._without_values(plain(text))
        incidentally(
            self._log.warning, "the client of Kafka complains; what it does is tried again", reason=reason
        )


def plain(text: str) -> str:
    """Return what the client says of a failure without its thread, and how long it took.

    Parameters
    ----------
    text
        What it says.

    Examples
    --------
    >>> plain("[thrd:a:9092/1]: a:9092/1: Connect to a failed: refused (after 0ms in state CONNECT)")
    'a:9092/1: Connect to a failed: refused'
    """
    return _AFTER.sub("", _THREAD.sub("", text))


def _is_of_letting_in(text: str) -> bool:
    found = _AFTER.search(text)
    return found is not None and found[1].startswith(_LETTING_IN)
