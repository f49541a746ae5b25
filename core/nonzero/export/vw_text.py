"""A model as Vowpal Wabbit's readable text: a line for each weight, behind a head.

Without names it is what ``vw --readable_model`` writes, ``slot:weight``; with names what ``vw
--invert_hash`` does, ``namespace^feature:slot:weight``. Slots are those of this model: Vowpal Wabbit hashes
names otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from nonzero import LogisticRegression
from nonzero.export.coordinates import chosen, intercept_of
from nonzero.export.slot_names import TIMES, Name, SlotNames

VERSION: Final = "9.11.9"
"""The version of Vowpal Wabbit whose text this is like, with ``--predict_only_model``."""

APART: Final = str.maketrans({byte: f"%{ord(byte):02X}" for byte in " \t\r\n:|*^%"})
"""What stands in no word of Vowpal Wabbit's, or between words; in a name it is written as in URLs, as %20."""


def write_vw(
    model: LogisticRegression, file: BinaryIO, names: SlotNames | None = None, top: int | None = None
) -> int:
    """Write a model's weights; of eight lanes those that are averaged, by which it does not predict exactly.

    Parameters
    ----------
    model
        The model.
    file
        To write to.
    names
        The names of features in its slots, where any are known.
    top
        Write only so many of the largest weights. None: all.

    Returns
    -------
    int
        How many slots were written.

    Examples
    --------
    >>> import io
    >>> model, file = LogisticRegression(bits=10), io.BytesIO()
    >>> before = model.learn_one({"site": "news"}, 1)
    >>> write_vw(model, file)
    1
    >>> file.getvalue().decode().splitlines()[4]
    'bits:10'
    """
    formula = model.formula()
    file.write(_head(model).encode())
    written = 0
    for some in chosen(model, formula, top):
        weights = some.weights @ formula.averaging
        texts = zip(some.slots.tolist(), weights.tolist(), weights.astype(str).tolist(), strict=True)
        kept = [(slot, text) for slot, weight, text in texts if weight]
        file.write("".join(_lines(model, kept, names)).encode())
        written += len(kept)
    [constant] = (intercept_of(model, formula).weights @ formula.averaging).astype(str).tolist()
    file.write(f"{'Constant:' if names is not None else ''}{2**model.bits}:{constant}\n".encode())
    return written


def left_out(model: LogisticRegression) -> Iterator[str]:
    """Yield a sentence for each part of a model's predictions that the text has no place for.

    Parameters
    ----------
    model
        The model.

    Examples
    --------
    >>> from nonzero import AdaGrad
    >>> list(left_out(LogisticRegression(bits=10, optimizer=AdaGrad())))
    []
    """
    formula = model.formula()
    if len(formula.lanes) > 1:
        yield (
            "these are the averaged weights of eight lanes, by which predictions are not exactly the "
            "model's; json and onnx have all of it"
        )
    if formula.scales is not None and not set(formula.scales.tolist()) <= {0.0, 1.0}:
        yield "values are in units of their field's root mean square, which json has"
    if formula.map is not None:
        yield "predictions are without the map that recalibrates them, which json and onnx have"


def _head(model: LogisticRegression) -> str:
    return (
        f"Version {VERSION}\nId \nMin label:-50\nMax label:50\nbits:{model.bits}\nlda:0\n0 ngram:\n"
        "0 skip:\noptions: --link logistic\nChecksum: 0\n:0\n"
    )


def _lines(
    model: LogisticRegression, weights: Sequence[tuple[int, str]], names: SlotNames | None
) -> Iterator[str]:
    """Yield the lines of slots: one for each of its names, or one without."""
    separator = model.schema.namespace_separator.encode()
    for slot, weight in weights:
        for name in (names.parts_of(slot) if names is not None else ()) or [()]:
            yield f"{_named(name, separator)}{slot}:{weight}\n"


def _named(name: Name, separator: bytes) -> str:
    """Return how Vowpal Wabbit calls a feature, with a colon behind it; nothing for one without a name."""
    parts = []
    for part in name:
        field, between, text = part.partition(separator)
        parts.append(f"{_word(field)}^{_word(text)}" if between else _word(field))
    return f"{TIMES.join(parts)}:" if parts else ""


def _word(text: bytes) -> str:
    """Return text as one word of a name."""
    return text.decode(errors="replace").translate(APART)
