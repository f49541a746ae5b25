"""What ``nonzero convert`` does with files: each way of writing them anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO, Protocol

import click

from nonzero.errors import InputError, LineError
from nonzero.sources.rows_file import RowsWriter
from nonzero_service.cli.display import Display
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.notices import RejectedLines, conflict_lines


class Conversion(Protocol):
    """Writes files as another format."""

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say of the files, before they are read."""

    @property
    def size(self) -> int | None:
        """How many bytes there are to read; None where nobody knows."""

    @property
    def position(self) -> int:
        """How many of them have been read."""

    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write what can be written.

        Parameters
        ----------
        out
            Where to.
        rejected
            Counts the lines that cannot be read, or not be written so.
        display
            Shows how far it is.

        Returns
        -------
        int
            How many examples were written.
        """

    def remarks(self) -> Iterator[str]:
        """Yield what there is to say, once all is written."""


class ExamplesConversion(ABC):
    """Writes the examples of files.

    Parameters
    ----------
    inputs
        The files.
    """

    def __init__(self, inputs: InputFiles) -> None:
        self.inputs = inputs

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say of the files, before they are read."""
        return self.inputs.notes

    @property
    def size(self) -> int | None:
        """How many bytes there are to read; None where nobody knows."""
        return self.inputs.size

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return self.inputs.position

    @abstractmethod
    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write what can be written, as :meth:`Conversion.write`."""

    def remarks(self) -> Iterator[str]:
        """Yield what there is to say, once all is written."""
        return conflict_lines(self.inputs.schema)


class RowsConversion(ExamplesConversion):
    """Writes hashed rows."""

    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write what can be written, as :meth:`Conversion.write`."""
        inputs = self.inputs
        writer = RowsWriter(out, inputs.head())
        for source, parsed in inputs.read(display.say):
            writer.write(parsed.batch)
            rejected.report(source.name, parsed.errors, display.say, inputs.what(source))
            display.show(inputs.position, lambda: f"{writer.examples:,} examples")
        if writer.examples:
            writer.finish(inputs.foot(writer.examples, writer.nonzeros))
        return writer.examples


class SlotsConversion(ExamplesConversion):
    """Writes features by their slots in a table of weights.

    Parameters
    ----------
    inputs
        The files.
    form
        ``"libsvm"`` or ``"ndjson"``.
    bits
        log2 of the number of slots.

    Raises
    ------
    click.BadParameter
        For another format: there are no names.
    """

    def __init__(self, inputs: InputFiles, form: str, bits: int) -> None:
        super().__init__(inputs)
        if form not in ("libsvm", "ndjson"):
            raise click.BadParameter(
                f"{inputs.sources[0].name} has hashed rows, whose names cannot be had back; write libsvm or "
                "ndjson, which have slots, or convert the text that it was made of",
                param_hint="OUTPUT",
            )
        self._form, self._bits = form, bits

    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write what can be written, as :meth:`Conversion.write`."""
        from nonzero.formats.writing import slot_lines

        written = 0
        for source, parsed in self.inputs.read(display.say):
            lines = slot_lines(parsed.batch, self._bits, self._form)
            bad = [
                LineError(int(number), str(line))
                for number, line in zip(parsed.lines, lines, strict=True)
                if isinstance(line, InputError)
            ]
            good = [line for line in lines if isinstance(line, bytes)]
            out.write(b"".join(good))
            written += len(good)
            errors = sorted([*parsed.errors, *bad])
            rejected.report(source.name, errors, display.say, self.inputs.what(source))
            display.show(self.position, partial("{:,} examples".format, written))
        return written


class NamesConversion(ExamplesConversion):
    """Writes text with the names of features.

    Parameters
    ----------
    inputs
        The files.
    form
        ``"vw"`` or ``"ndjson"``.
    """

    def __init__(self, inputs: InputFiles, form: str) -> None:
        super().__init__(inputs)
        self._form = form
        self._numbers: list[str] = []

    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write what can be written, as :meth:`Conversion.write`."""
        from nonzero.formats.writing import WRITERS

        writer = WRITERS[self._form](self.inputs.schema.namespace_separator)
        written = 0
        for source, found in self.inputs.read_named(display.say):
            lines, bad = writer.write(found)
            out.write(lines)
            written += len(found.rows) - len(bad)
            errors = sorted([*found.parsed.errors, *bad])
            rejected.report(source.name, errors, display.say, self.inputs.what(source))
            display.show(self.position, partial("{:,} examples".format, written))
        self._numbers = sorted(writer.numbers)
        return written

    def remarks(self) -> Iterator[str]:
        """Yield which fields a reader has to be told of."""
        yield from super().remarks()
        if self._numbers:
            numbers = ",".join(self._numbers)
            yield f"numbers are words in {self._form}: read it with --number {numbers}"
