"""Files without a name: what does not fit into memory, and shall not be found later."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class Scratch:
    """Makes files in a folder that nothing is left of, whatever ends the process.

    Those that are not closed before are closed at the end of the block.

    Parameters
    ----------
    folder
        Where they take their room.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
    ...     written = scratch.file().write(b"rows")
    ...     list(Path(folder).iterdir())
    []
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()

    def file(self) -> IO[bytes]:
        """Return a new file, to be written and read.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        return self._files.enter_context(tempfile.TemporaryFile(dir=self._folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()
