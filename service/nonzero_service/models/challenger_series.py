"""What Prometheus is told of each challenger: how far behind it is, and how it compares with its champion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, get_args
from weakref import WeakKeyDictionary

from nonzero.statistics.comparison import Interval, Verdict
from nonzero_service.metrics.exposition import Series, Told
from nonzero_service.models.challenger import Challenger
from nonzero_service.writer.pairing import Pairing
from nonzero_service.writer.sequences import sequence_of

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)


class ComparedFigures(NamedTuple):
    """How a challenger compares with its champion."""

    examples: int
    """Those that both have predicted."""
    log_losses: tuple[float | None, float | None]
    """Its champion's, and its own."""
    difference: Interval


NOT_COMPARED: Final = ComparedFigures(0, (None, None), Interval(None, None, None))


class Followed(NamedTuple):
    """How a challenger is now."""

    name: str
    champion: str
    has_failed: bool
    """Whether it learns no more."""
    lag: int
    """The examples that its champion has learned from and it has not."""
    compared: ComparedFigures


FollowedSeries = Series[Followed]


class FollowedFigures:
    """How challengers are. An interval takes a quarter of a millisecond: it is kept until more came."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Pairing, ComparedFigures] = WeakKeyDictionary()

    def of(self, challenger: Challenger) -> Followed:
        """Look how a challenger is. From one thread at a time, whichever that is."""
        parts, pairing = challenger.champion, challenger.learner.follower.pairing
        lag = max(sequence_of(parts.learner.model) - challenger.sequence, 0)
        compared = NOT_COMPARED if pairing is None else self._compared(pairing)
        return Followed(challenger.name, parts.name, challenger.failure is not None, lag, compared)

    def _compared(self, pairing: Pairing) -> ComparedFigures:
        known, found = self._known.get(pairing), pairing.copied()
        if known is None or known.examples != found.examples:
            known = self._known[pairing] = ComparedFigures(found.examples, found.log_losses, found.interval())
        return known


def followed() -> Iterator[FollowedSeries]:
    """Yield what is told of each challenger."""

    def gauge(
        name: str, text: str, told: Callable[[Followed], dict[tuple[str, ...], float | None]], *labels: str
    ) -> FollowedSeries:
        def known(one: Followed) -> Told:
            found = told(one).items()
            return {(one.champion, *others): value for others, value in found if value is not None}

        return Series(f"nonzero_challenger_{name}", "gauge", text, known, ("follows", *labels))

    yield gauge("failed", "1 where it learns no more.", lambda one: {(): int(one.has_failed)})
    text = "Examples that its champion has learned from, and it has not."
    yield gauge("lag_examples", text, lambda one: {(): one.lag})
    yield gauge(
        "compared_examples", "Examples that both have predicted.", lambda one: {(): one.compared.examples}
    )
    yield gauge(
        "log_loss",
        "Mean log loss of these, in nats, of either.",
        lambda one: dict(zip((("champion",), ("challenger",)), one.compared.log_losses, strict=True)),
        "of",
    )
    text = "Its mean log loss less its champion's, in nats."
    yield gauge("difference", text, lambda one: {(): one.compared.difference.mean})
    text = "The lower end of the interval of that, which holds whenever it is looked at."
    yield gauge("difference_low", text, lambda one: {(): one.compared.difference.low})
    yield gauge("difference_high", "The upper end.", lambda one: {(): one.compared.difference.high})
    yield gauge(
        "verdict",
        "1 for what it is beside its champion, 0 for what it is not.",
        lambda one: {(name,): int(name == one.compared.difference.verdict) for name in VERDICTS},
        "verdict",
    )
