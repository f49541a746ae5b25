"""Blocks read by a cluster's tasks, handed over in the order of the files."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from nonzero import __version__
from nonzero.formats import Parsed
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead
from nonzero_service.cli.backfill import parts, remote
from nonzero_service.cli.backfill.blocks import LINES, Block, Files, text_of
from nonzero_service.cli.backfill.cluster import RayError
from nonzero_service.cli.backfill.parts import BlockPart, met, recounted, unpacked
from nonzero_service.cli.backfill.tasks import TaskBlock, Understanding
from nonzero_service.cli.input_files import InputFiles

TRIES: Final = 6
"""A block whose task dies is read so often; once would be enough but for machines that come and go."""

PARTS: Final = 2
"""So many parts of a block wait in the cluster; its task waits then."""

_AHEAD: Final = 2
"""So many parts wait here."""

_FETCHED: Final = 2
"""So many more are on their way."""

_PART_BYTES: Final = 8 * parts.NONZEROS
"""A part's size at most, about."""

STALLED: Final = 20.0
"""After so many seconds without a part it is looked whether the block can be read at all."""


class Cursor(NamedTuple):
    """How far files have been read."""

    block: Block
    """With the parts of it that were."""
    lines: int
    """How many lines of its file are before it."""
    inside: int
    """How many of its own have been read."""


@dataclass
class _Running:
    block: Block
    stream: Any
    """Ray's generator of the parts."""


class _Item(NamedTuple):
    block: Block
    part: BlockPart
    parsed: list[Parsed]
    cursor: Cursor


class ClusterReader:
    """Files read by a cluster.

    Parameters
    ----------
    inputs
        The files.
    ray
        The module, connected.
    behind
        How far they have been read before; None: nothing has.

    Attributes
    ----------
    cursor
        How far they have been read with what was yielded last; None where that ends within a part.

    Raises
    ------
    click.BadParameter
        For files that only this process can read.
    """

    def __init__(self, inputs: InputFiles, ray: Any, behind: Cursor | None = None) -> None:
        for source in inputs.sources:
            if source.size is None:
                raise click.BadParameter(
                    f"{source.name} can be read once and here alone; with --ray give files", param_hint="FILE"
                )
            source.forget()  # a megabyte or two of each
        self._inputs = inputs
        self._ray = ray
        self._behind = behind
        self.cursor: Cursor | None = None
        self._files = Files(inputs, self._processors)
        ray.cloudpickle.register_pickle_by_value(remote)
        self._read = ray.remote(
            num_cpus=1,
            max_retries=TRIES - 1,
            num_returns="streaming",
            _generator_backpressure_num_objects=PARTS,
        )(remote.read)
        self._options: dict[int, dict[str, Any]] = {}
        self._running: deque[_Running] = deque()
        self._given_back: deque[Block] = deque()
        self._most = 1
        self._reading = self._put(self._inputs.schema.known.kinds_met())

    def read(self, say: Callable[[str], None]) -> Generator[tuple[Source, Parsed], None, None]:
        """Yield the examples of all files, each part with its file: as :meth:`InputFiles.read` does.

        Parameters
        ----------
        say
            Called with a line for what a file's reader has to say at its end.

        Raises
        ------
        NonzeroError
            What a task found wrong with a file, in its place; and where the cluster does not do its work.
        """
        schema = self._inputs.schema
        source: Source | None = None
        notes: tuple[str, ...] = ()
        block: tuple[int, int] | None = None
        differing: set[str] = set()
        with closing(ahead(self._items(), _AHEAD)) as items:
            for item in items:
                if source is not self._inputs.sources[item.block.file]:
                    _say_notes(source, notes, say)
                    source, notes = self._inputs.sources[item.block.file], ()
                if block != (item.block.file, item.block.first):
                    block, differing = (item.block.file, item.block.first), set()
                differing |= met(schema, item.part.names)
                last = len(item.parsed) - 1
                for place, parsed in enumerate(item.parsed):
                    if parsed.conflicts or differing:
                        conflicts = recounted(parsed.conflicts, parsed.batch, differing)
                        schema.conflicts.add(conflicts)
                        parsed = parsed._replace(conflicts=conflicts)
                    source.position = max(source.position, item.part.position)
                    self.cursor = item.cursor if place == last else None
                    yield source, parsed
                self.cursor = item.cursor
                if item.part.error is not None:
                    raise item.part.error
                notes = item.part.notes or notes
        _say_notes(source, notes, say)
        for one in self._inputs.sources:
            one.position = one.size or 0

    # -- in a thread of its own -----------------------------------------------------------------------------

    def _items(self) -> Iterator[_Item]:
        """Yield parts in the order of the files, decoded."""
        file, lines, end = -1, 0, None
        blocks = self._blocks()
        self._fill(blocks)
        while self._running:
            block = self._running[0].block
            inside = 0
            if block.file != file:
                file, lines, end = block.file, 0, None
            if self._behind is not None and block == self._behind.block:
                lines, inside = self._behind.lines, self._behind.inside
            for place, part in enumerate(self._parts_of(end)):
                if not place:
                    self._most = self._window
                    self._fill(blocks)
                block = self._running[0].block
                parsed = [unpacked(rows, lines) for rows in part.rows]
                inside += sum(one.lines_read for one in parsed)
                block = self._running[0].block = block._replace(skip=block.skip + 1)
                end = end if part.end is None else part.end
                yield _Item(block, part, parsed, Cursor(block, lines, inside))
            lines += inside
            self._running.popleft()
            self._fill(blocks)

    def _blocks(self) -> Iterator[Block]:
        if self._behind is not None:
            yield self._behind.block
        yield from self._files.blocks(None if self._behind is None else self._behind.block)

    def _fill(self, blocks: Iterator[Block]) -> None:
        """Have tasks read the next blocks, as many as there is room for."""
        while len(self._running) < self._most:
            block = self._given_back.popleft() if self._given_back else next(blocks, None)
            if block is None:
                return
            self._running.append(_Running(block, self._begun(block)))

    def _begun(self, block: Block) -> Any:
        return self._read.remote(__version__, self._reading, self._piece(block).to_plain())

    def _parts_of(self, end: int | None) -> Iterator[BlockPart]:
        """Yield the parts of the first block that is read; where it did not begin with a record, read anew.

        Parameters
        ----------
        end
            Where the block before it ended, of ranges of lines.
        """
        first = True
        fetched = self._fetched()
        while True:
            part = next(fetched)
            if isinstance(part, str):
                raise RayError(
                    f"{part}; names would be hashed otherwise, or not at all: have the cluster's machines "
                    f"install nonzero-ctr {__version__}"
                )
            running = self._running[0]
            if first and running.block.kind == LINES and part.start is not None:
                if end is not None and part.start != end:
                    fetched.close()
                    running.block = running.block._replace(first=end, exact=True)
                    running.stream = self._begun(running.block)
                    fetched, end = self._fetched(), None
                    continue
                running.block = running.block._replace(first=part.start, exact=True)
            if first and self._behind is None and part.names:
                self._learn_names(part.names)
            first = False
            yield part
            if part.is_last:
                return

    def _learn_names(self, names: Mapping[str, str]) -> None:
        """Have later tasks know the fields that the first part of all has met, as other threads would."""
        if self._most == 1:
            self._reading = self._put(names)

    def _put(self, names: Mapping[str, str]) -> Any:
        understood = Understanding(self._inputs.reading, self._inputs.schema, names, parts.NONZEROS)
        return self._ray.put(understood.to_plain())

    def _fetched(self) -> Generator[Any, None, None]:
        """Yield what the first task hands over, fetched ahead."""
        ray, stream = self._ray, self._running[0].stream
        coming: deque[Any] = deque()
        waited, going = time.monotonic(), True
        while going or coming:
            while going and len(coming) < _FETCHED:
                ready, _ = ray.wait([stream], timeout=0 if coming else 1)
                if not ready:
                    break
                try:
                    coming.append(next(stream))
                except StopIteration:
                    going = False
                except ray.exceptions.RayError as error:
                    raise self._gave_up(error) from error
            if coming:
                ray.wait([*coming], num_returns=len(coming), timeout=0)  # has them come here
                try:
                    part = ray.get(coming.popleft())
                except ray.exceptions.RayError as error:
                    raise self._gave_up(error) from error
                yield part
                waited = time.monotonic()
            elif going and time.monotonic() - waited > STALLED:
                self._make_room()
                waited = time.monotonic()

    def _make_room(self) -> None:
        """Take a block back that is ahead, where the first one has no processor.

        Its task may have died, or its machine, and others that wait until they are learned from have all
        processors since.
        """
        if len(self._running) > 1 and self._ray.available_resources().get("CPU", 0) < 1:
            taken = self._running.pop()
            self._ray.cancel(taken.stream, force=True)
            self._given_back.appendleft(taken.block)
            self._most = len(self._running)

    def _gave_up(self, error: Exception) -> RayError:
        block = text_of(self._running[0].block, self._inputs.sources)
        return RayError(f"the cluster could not read {block}: {str(error).strip() or type(error).__name__}")

    @property
    def _window(self) -> int:
        """How many blocks are read, or wait to be learned from."""
        room = int(self._store // 2 // (PARTS * _PART_BYTES))
        return max(min(2 * self._processors, room), 2)

    @property
    def _processors(self) -> int:
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    @cached_property
    def _store(self) -> float:
        return float(self._ray.cluster_resources().get("object_store_memory", 0))

    def _piece(self, block: Block) -> TaskBlock:
        source = self._inputs.sources[block.file]
        hashed = self._inputs.is_hashed(source)
        if block.file not in self._options:
            options = {} if hashed else self._inputs.options_of(source)
            self._options = {block.file: {name: options[name] for name in options if name != "schema"}}
        header = self._files.header(block.file) if block.kind == LINES else None
        if isinstance(source.path, Path):
            where: tuple[str, dict[str, Any] | None] = (str(source.path.absolute()), None)
        else:
            where = (source.path.url, source.stored.version)
        return TaskBlock(block, where, source.name, hashed, self._options[block.file], header or b"")


def _say_notes(source: Source | None, notes: tuple[str, ...], say: Callable[[str], None]) -> None:
    for note in notes:
        say(f"{source.name}: {note}" if source is not None else note)
