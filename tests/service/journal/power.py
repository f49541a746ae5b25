"""A disk that loses its power: a SQLite VFS that notes what is written, and what a cut would have left of it.

Of what was written to a file since it was last synced, each write may have reached the disk or not, whole or
in some of its 512-byte sectors, in any order.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


@dataclass(frozen=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True)
class Sync:
    name: str
    covers: int  # the events before it had been written when it began


@dataclass(frozen=True)
class Acknowledge:
    position: int
    mark: bytes


Event = Write | Truncate | Sync | Acknowledge


class RecordingFile(apsw.VFSFile):
    def __init__(self, events: list[Event], vfs: str, filename: Any, flags: list[int]) -> None:
        self._events = events
        path = filename.filename() if isinstance(filename, apsw.URIFilename) else filename
        self._name = Path(path).name
        super().__init__(vfs, filename, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._events.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._events.append(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        covers = len(self._events)
        super().xSync(flags)
        self._events.append(Sync(self._name, covers))


class RecordingVFS(apsw.VFS):
    def __init__(self, name: str, events: list[Event]) -> None:
        self._events = events
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> RecordingFile:  # noqa: N802
        return RecordingFile(self._events, "", name, flags)


def cut(events: Sequence[Event], before: dict[str, bytes], directory: Path, chance: random.Random) -> int:
    """Write what a power cut at a random moment may leave; return the last position acknowledged.

    Parameters
    ----------
    before
        The files when the recording began, all of them synced.
    """
    moment = chance.randrange(1, len(events) + 1)
    past = events[:moment]
    synced: dict[str, int] = {}
    for event in past:
        if isinstance(event, Sync):
            synced[event.name] = max(synced.get(event.name, 0), event.covers)
    files = {name: bytearray(data) for name, data in before.items()}
    unsure: list[Write | Truncate] = []
    for number, event in enumerate(past):
        if isinstance(event, (Write, Truncate)):
            if number < synced.get(event.name, 0):
                apply(event, files)
            else:
                unsure.append(event)
    chance.shuffle(unsure)
    kept = chance.random()
    for event in unsure:
        if chance.random() < kept:
            apply(torn(event, chance), files)
    marks = [event for event in past if isinstance(event, Acknowledge)]
    if marks:  # written in place, unsynced: any of them may be the one on the disk
        files["mark"] = bytearray(chance.choice(marks).mark)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return marks[-1].position if marks else 0


def torn(event: Write | Truncate, chance: random.Random) -> Write | Truncate:
    """Perhaps only the first or last sectors of a write."""
    if isinstance(event, Truncate) or chance.random() < 0.5:
        return event
    middle = chance.randrange(0, len(event.data) + 1, SECTOR)
    if chance.random() < 0.5:
        return Write(event.name, event.offset, event.data[:middle])
    return Write(event.name, event.offset + middle, event.data[middle:])


def apply(event: Write | Truncate, files: dict[str, bytearray]) -> None:
    file = files.setdefault(event.name, bytearray())
    if isinstance(event, Truncate):
        del file[event.size :]
        file.extend(bytes(event.size - len(file)))
        return
    end = event.offset + len(event.data)
    file.extend(bytes(max(0, end - len(file))))
    file[event.offset : end] = event.data
