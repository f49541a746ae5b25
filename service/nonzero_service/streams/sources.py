"""TopicSources: what the settings name, begun for each model that is written here."""

from __future__ import annotations

from collections.abc import Mapping

from nonzero_service.bodies.reading import Bodies
from nonzero_service.kafka.config import KafkaConfig
from nonzero_service.kafka.poison import PoisonTopic
from nonzero_service.kafka.reading import TopicReader
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.settings.source_url import SourceUrl
from nonzero_service.streams.examples import ExampleTaker
from nonzero_service.streams.flow import ReadsTopics
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
        return TopicSource(url, served, self._open, self._takers(url, served), self._bodies, poison)

    def _takers(self, url: SourceUrl, served: ServedModel) -> Mapping[str, Taker]:
        assert url.topic is not None  # noqa: S101 - the settings have seen to that
        return {url.topic: ExampleTaker(served, url.format, self._settings)}

    def _open(
        self, url: SourceUrl, positions: Mapping[tuple[str, int], Position], known: Mapping[str, str]
    ) -> ReadsTopics:
        return TopicReader(
            self._configs[url.model],
            url.topics,
            positions,
            known=known,
            start=url.start,
            lost=url.lost,
            topic_ids=url.topic_ids,
        )
