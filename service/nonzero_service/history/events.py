"""Events: what happened to a model, as sentences for people.

What a row of the journal says is told by :func:`event_of`, live and when a start reads the row again: a row
of another kind that is to be seen in the history gets its sentence there. What no row says (a start, a sudden
change for the worse) is told through :meth:`~nonzero_service.history.history.History.tell`.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.statistics.shifts import Shift
from nonzero_service.journal.chain import JournalRow
from nonzero_service.writer.entries import promotion_of, resumption_of

EVENT: Final = np.dtype(
    [
        ("check", "<u4"),
        ("number", "<u4"),
        ("position", "<i8"),
        ("time", "<i8"),
        ("sequence", "<i8"),
        ("kind", "S16"),
        ("text", "S256"),
    ]
)
"""An event as it is kept."""

TEXT_BYTES: Final = EVENT["text"].itemsize

FIGURES: Final = {
    "click_rate": "the click rate",
    "click_weight": "the share of weight that clicks have",
    "unseen_features": "the share of features never seen before",
    "log_loss": "the log loss",
}


class Event(NamedTuple):
    """Something that happened to a model."""

    position: int
    """Of the journal, when it happened."""
    time: int
    """In milliseconds since 1970."""
    sequence: int
    """The model's."""
    kind: str
    text: str

    def packed(self, number: int) -> bytes:
        """Return it as it is kept; a text that is too long is cut."""
        kept = np.zeros(1, EVENT)
        text = self.text.encode()[:TEXT_BYTES].decode(errors="ignore").encode()
        kept[0] = (0, number, self.position, self.time, self.sequence, self.kind.encode(), text)
        said = kept.tobytes()[4:]
        return zlib.crc32(said).to_bytes(4, "little") + said


def event_read(kept: np.void) -> Event:
    """Return an event that is kept."""
    position, time, sequence = (int(kept[name]) for name in ("position", "time", "sequence"))
    return Event(position, time, sequence, kept["kind"].decode(), kept["text"].decode(errors="replace"))


def event_of(row: JournalRow) -> tuple[str, str] | None:
    """Return the kind and the text of the event that a row of the journal is; None where it is none."""
    match row.kind:
        case "trip":
            return "pause", paused_text(json.loads(row.body))
        case "resume" if resumption_of(row).discard:
            return "discard", "learning goes on; what was held is never learned from"
        case "resume":
            return "resume", f"learning goes on; {row.count:,} examples that were held were learned from"
        case "remedy":
            return (
                "remedy",
                "a remedy was applied: lanes whose learning rates had become too small learn again",
            )
        case "promotion":
            promotion = promotion_of(row)
            return "promotion", f"the challenger {promotion.name} took the model's name"
        case "recalibration":
            return "recalibration", "from here on a map of the predictions is learned"
    return None


def event_for_challenger(row: JournalRow) -> tuple[str, str] | None:
    """Return the event that a row of its champion's journal is for a challenger, as :func:`event_of` does."""
    match row.kind:
        case "remedy":
            return None  # it mends its champion's lanes
        case "promotion":
            return "promotion", f"the challenger {promotion_of(row).name} took its champion's name"
    return event_of(row)


def text_of(shift: Shift) -> tuple[str, str]:
    """Return the kind and the text of a change of how good predictions are."""
    losses = f"log loss {shift.before:.3f}, then {shift.after:.3f}"
    if shift.recovered:
        return "recovered", f"the model has adapted: predictions are off by no more than chance; {losses}"
    return "shift", f"predictions got worse at once: {losses}"


def paused_text(reason: dict[str, Any]) -> str:
    """Return why learning is paused, of what the breaker has found."""
    figure = FIGURES.get(str(reason.get("figure")), str(reason.get("figure")))
    now, before = reason.get("now"), reason.get("before")
    if isinstance(now, float) and isinstance(before, float):
        return f"learning was paused: {figure} was {before:.3g}, then {now:.3g}"
    return f"learning was paused: {figure} jumped"
