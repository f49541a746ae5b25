"""TopicQueries: what brokers say of topics, asked so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nonzero_service.kafka.errors import SourceConfigError, SourceError, SourceRefusedError, TopicMissingError

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ANSWER_SECONDS: Final = 5.0
"""So long brokers have for an answer; then they are asked again."""

NO_ID: Final = "A" * 22
"""The id that a topic has for brokers older than Kafka 2.8."""

_URL_SAFE: Final = str.maketrans("+/", "-_", "=")

Partition = tuple[str, int]
"""A topic's name and a partition's number."""


class TopicDescription(NamedTuple):
    """A topic."""

    topic_id: str
    partitions: tuple[int, ...]


class TopicQueries:
    """Asks about some topics.

    Parameters
    ----------
    admin
        Whom.
    topics
        Their names.
    """

    def __init__(self, admin: AdminClient, topics: Sequence[str]) -> None:
        from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
        from confluent_kafka.admin._listoffsets import OffsetSpec

        self._admin = admin
        self._topics = TopicCollection(list(topics))
        self._committed, self._all = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED
        self._earliest, self._latest = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        self._partition = TopicPartition

    def close(self) -> None:
        """Let go of the brokers: the threads and connections of who is asked end with it."""
        del self._admin

    def describe(self) -> Mapping[str, Future[Any]]:
        """Ask for the ids of the topics, and their partitions."""
        return self._admin.describe_topics(self._topics, request_timeout=ANSWER_SECONDS)

    def starts(self, partitions: Iterable[Partition]) -> Mapping[Partition, Future[Any]]:
        """Ask for the first offsets that are there."""
        return self._offsets(partitions, self._earliest, self._all)

    def ends(self, partitions: Iterable[Partition]) -> Mapping[Partition, Future[Any]]:
        """Ask for the high watermarks."""
        return self._offsets(partitions, self._latest, self._all)

    def stable_ends(self, partitions: Iterable[Partition]) -> Mapping[Partition, Future[Any]]:
        """Ask for the last stable offsets: behind them, transactions are open."""
        return self._offsets(partitions, self._latest, self._committed)

    def _offsets(
        self, partitions: Iterable[Partition], spec: Any, isolation: Any
    ) -> Mapping[Partition, Future[Any]]:
        wanted = {self._partition(*partition): spec for partition in partitions}
        found = self._admin.list_offsets(wanted, isolation_level=isolation, request_timeout=ANSWER_SECONDS)
        return {(one.topic, one.partition): future for one, future in found.items()}


def description_of(topic: str, answer: Any) -> TopicDescription:
    """Return what an answer says of a topic.

    Raises
    ------
    SourceConfigError
        Where the brokers know no ids of topics.
    """
    topic_id = id_text(str(answer.topic_id))
    if topic_id == NO_ID:
        raise SourceConfigError(
            f"the brokers do not say the id of topic {topic!r}, by which one that is made anew is known; "
            "they have to be of Kafka 2.8 or newer, and their metadata.version as new"
        )
    return TopicDescription(topic_id, tuple(sorted(partition.id for partition in answer.partitions)))


def id_text(topic_id: str) -> str:
    """Return an id of a topic as brokers write it: text that goes into an address."""
    return topic_id.translate(_URL_SAFE)


def unanswered(topic: str, error: BaseException) -> SourceError | None:
    """Return what a refusal of a question about a topic means; None: it is to be asked again.

    Parameters
    ----------
    topic
        Its name.
    error
        What the answer was.
    """
    from confluent_kafka import KafkaError, KafkaException

    if isinstance(error, TimeoutError):
        return None
    if not isinstance(error, KafkaException):
        return SourceError(f"topic {topic!r} cannot be asked for: {error}")
    said = error.args[0]
    if said.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return TopicMissingError(topic)
    if said.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
        return refused(topic, said.str())
    return None


def text_of(error: BaseException) -> str:
    """Return what an error of the client says."""
    from confluent_kafka import KafkaException

    return str(error.args[0].str()) if isinstance(error, KafkaException) else str(error)


def refused(topic: str, said: str) -> SourceRefusedError:
    """Return the error that says that a user may not read a topic."""
    return SourceRefusedError(
        f"the brokers do not let us read topic {topic!r}: {said}; let the user READ and DESCRIBE it"
    )
