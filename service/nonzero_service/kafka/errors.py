"""What can be wrong with topics that are read.

::

    NonzeroError
    └── SourceError
        ├── SourceConfigError       the client is missing, or its properties cannot be used
        ├── SourceRefusedError      the brokers do not let us in, or not to a topic
        ├── BrokerUnreachableError  no broker answers
        ├── TopicMissingError       the brokers have no such topic
        ├── TopicRemadeError        a topic has the name of one that was read, and is another
        ├── OffsetLostError         records are gone that were not read yet
        ├── LogTruncatedError       a partition ends before what was read of it
        └── RecordsDamagedError     records cannot be read as they are stored, or what is read is not known
"""

from __future__ import annotations

from nonzero.errors import NonzeroError


class SourceError(NonzeroError):
    """Topics cannot be read."""


class SourceConfigError(SourceError):
    """The client is missing, or its properties cannot be used. What it says holds none of their values."""


class SourceRefusedError(SourceError):
    """The brokers do not let us in, or not to a topic."""


class BrokerUnreachableError(SourceError):
    """No broker answers."""


class TopicMissingError(SourceError):
    """The brokers have no such topic.

    Parameters
    ----------
    topic
        Its name.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"the brokers have no topic {topic!r}, or do not show it to this user; create it, or let the "
            "user DESCRIBE and READ it"
        )
        self.topic = topic


class TopicRemadeError(SourceError):
    """A topic has the name of one that was read, and is another: it was deleted and made anew.

    Parameters
    ----------
    topic
        The name of both.
    was, now
        The id of the one that was read, and of the one that is there.
    """

    def __init__(self, topic: str, was: str, now: str) -> None:
        super().__init__(
            f"topic {topic!r} was made anew: it was read as the topic with the id {was}, and now has the id "
            f"{now}, whose offsets count other records; to read the new one, give topic_id={now}"
        )
        self.topic, self.was, self.now = topic, was, now


class OffsetLostError(SourceError):
    """Records are gone that were not read yet: their retention has passed, or somebody deleted them.

    Parameters
    ----------
    topic, partition
        Of which partition.
    first, next
        The first offset that is gone, and the first that is there.
    """

    def __init__(self, topic: str, partition: int, first: int, next: int) -> None:
        super().__init__(
            f"topic {topic!r}, partition {partition}: the offsets {first} to {next - 1} are gone before they "
            f"were read: retention has passed them, or somebody deleted them; to go on at {next} without "
            "them, give lost=skip"
        )
        self.topic, self.partition, self.first, self.next = topic, partition, first, next


class LogTruncatedError(SourceError):
    """A partition ends before what was read of it: a replica that had less took over.

    Parameters
    ----------
    topic, partition
        Of which partition.
    position, end
        The offset that was to be read next, and where the partition now ends.
    """

    def __init__(self, topic: str, partition: int, position: int, end: int | None) -> None:
        where = "has other records" if end is None else f"ends at {end}"
        super().__init__(
            f"topic {topic!r}, partition {partition}: it was read up to offset {position}, and now {where} "
            "before that: its log was cut, as after an unclean election; bring the lost records back, or "
            "copy the topic to a new one and read that: what was learned from the lost ones stays"
        )
        self.topic, self.partition, self.position, self.end = topic, partition, position, end


class RecordsDamagedError(SourceError):
    """Records cannot be read as they are stored: passing them over would lose them silently.

    Parameters
    ----------
    topic, partition, offset
        Where.
    said
        What the client says.
    """

    def __init__(self, topic: str, partition: int, offset: int, said: str) -> None:
        super().__init__(
            f"topic {topic!r}, partition {partition}, at offset {offset}: {said}; where the records cannot "
            "be mended, delete those up to the next good one (kafka-delete-records) and give lost=skip"
        )
        self.topic, self.partition, self.offset = topic, partition, offset
