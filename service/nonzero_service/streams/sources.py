"""TopicSources: what the settings name, begun for each model that is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from nonzero_service.bodies.reading import Bodies
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.poison import PoisonTopic
from nonzero_service.kafka.topic_reader import TopicReader
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.settings.source_url import SourceUrl
from nonzero_service.streams.clicks import ClickTaker
from nonzero_service.streams.event_time import EventTime
from nonzero_service.streams.examples import ExampleTaker
from nonzero_service.streams.flow import ReadsTopics
from nonzero_service.streams.impressions import ImpressionTaker
from nonzero_service.streams.in_step import TopicsInStep
from nonzero_service.streams.taking import Taker
from nonzero_service.streams.task import TopicSource
from nonzero_service.writer.origins import Position


class TopicSources:
    """All sources of a service.

    Parameters
    ----------
    settings
        Which there are, and the bounds.
    bodies
        Has messages parsed.

    Raises
    ------
    SourceConfigError
        Where the client is not installed, or its properties cannot be used.
    """

    def __init__(self, settings: Settings, bodies: Bodies) -> None:
        self._settings = settings
        self._bodies = bodies
        self._of = {source.model: source for source in settings.source}
        self._configs = {
            source.model: KafkaConfig.of(source.brokers, settings.source_config) for source in settings.source
        }

    def feed(self, served: ServedModel) -> TopicSource | None:
        """Begin to have a model learn from its topics; None where no source is for it."""
        url = self._of.get(served.name)
        if url is None:
            return None
        poison = None if url.errors is None else PoisonTopic(self._configs[url.model], url.errors)
        if url.labels is not None:
            return self._joined(url, url.labels, served, poison)
        topic, format, settings = url.topic, url.format, self._settings
        assert topic is not None  # noqa: S101 - the settings have seen to that

        def new_takers() -> dict[str, Taker]:
            return {topic: ExampleTaker(served, format, settings)}

        return TopicSource(url, served, self._open, new_takers, self._bodies, poison)

    def _joined(
        self, url: SourceUrl, labels: str, served: ServedModel, poison: PoisonTopic | None
    ) -> TopicSource:
        """Begin to read a topic of clicks, and that of their impressions where there is one."""
        event_time = EventTime(served.learner, served.attribution.impressions)

        def new_takers() -> dict[str, Taker]:
            takers: dict[str, Taker] = {labels: ClickTaker(served, self._settings, event_time)}
            if url.topic is not None:
                takers[url.topic] = ImpressionTaker(served, url.format, self._settings, event_time)
            return takers

        opened = partial(self._open_in_step, event_time)
        return TopicSource(url, served, opened, new_takers, self._bodies, poison, event_time)

    def _open(
        self, url: SourceUrl, positions: Mapping[tuple[str, int], Position], known: Mapping[str, str]
    ) -> ReadsTopics:
        return self._reader(url, url.topics, positions, known)

    def _open_in_step(
        self,
        event_time: EventTime,
        url: SourceUrl,
        positions: Mapping[tuple[str, int], Position],
        known: Mapping[str, str],
    ) -> ReadsTopics:
        event_time.begin()
        readers = {topic: self._reader(url, (topic,), positions, known) for topic in url.topics}
        return TopicsInStep(readers, event_time, url.wait_ms)

    def _reader(
        self,
        url: SourceUrl,
        topics: Sequence[str],
        positions: Mapping[tuple[str, int], Position],
        known: Mapping[str, str],
    ) -> TopicReader:
        return TopicReader(
            self._configs[url.model],
            topics,
            positions,
            known=known,
            start=url.start,
            lost=url.lost,
            topic_ids=url.topic_ids,
            times=url.labels is not None,
        )
