"""What is read of topics, and how far."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nonzero_service.api.schemas.wire import Wire


class SourcePartitionWire(Wire):
    """One partition of a topic. Null: not known now."""

    topic: str
    topic_id: str | None
    partition: int = Field(ge=0)
    position: int | None = Field(description="The offset to be read next, as the journal has it.")
    end: int | None = Field(
        description="The offset behind the last message that can be read; null where no broker has told it "
        "for 15 seconds."
    )
    messages: int = Field(ge=0, description="Those that were read since the model reads this topic.")
    examples: int = Field(ge=0)
    refused: int = Field(ge=0, description="Messages of which something could not be read.")
    lag_messages: int | None = Field(description="Up to there; null where that is.")
    lag_seconds: float | None = Field(
        description="How old the message is that was learned last, where others wait; where it is not known "
        "whether any do, since when at least."
    )


class RefusalWire(Wire):
    """A line of a message that was refused."""

    topic: str
    partition: int
    offset: int
    line: int = Field(ge=1, description="Which of the message's lines.")
    reason: str


class EventTimeWire(Wire):
    """How far topics of impressions and clicks have come by the times of their records."""

    reached: int | None = Field(
        description="All that was recorded until then was read, in milliseconds since 1970; null: not known."
    )
    behind_seconds: float | None = Field(description="How long ago that is.")
    waiting_labels: int = Field(ge=0, description="Labels that wait for their impressions.")
    joined_after_waiting: int = Field(ge=0, description="Labels that have waited, in this process.")
    waited_in_vain: int = Field(ge=0, description="Those whose impressions did not come in time.")
    wrong_times: dict[Literal["untimed", "future", "leapt"], int] = Field(
        description="Records whose times are not believed: without one, still to come, or far ahead of the "
        "others."
    )


class SourceWire(Wire):
    """What a model learns from beside requests."""

    model: str
    brokers: list[str]
    topics: list[str]
    format: str
    state: Literal["reading", "paused", "waiting", "stopped"] = Field(
        description="waiting: something failed and is tried again; stopped: only a changed setting mends it."
    )
    reason: str | None = Field(description="Why nothing is read; null where it is.")
    since: int = Field(
        description="Since when it is in this state, in milliseconds since 1970: of `reading`, since brokers "
        "answer without a break, too."
    )
    messages: int = Field(ge=0)
    examples: int = Field(ge=0)
    refused: int = Field(ge=0)
    lag_messages: int | None = Field(description="Of all partitions; null where it is not known of one.")
    lag_seconds: float | None = Field(description="Of the partition that is furthest behind.")
    event_time: EventTimeWire | None = Field(description="Null of a topic of examples.")
    partitions: list[SourcePartitionWire]
    refusals: Annotated[list[RefusalWire], Field(max_length=100)] | None = Field(
        description="The newest lines that were refused. Null where the token is not for `update`: a reason "
        "may repeat what stands in a message."
    )
