"""Shared memory: one process writes a model's state, others read it where it lies.

The memory is a file without a name (``memfd_create``), passed to others as a descriptor: nothing is written
back to a disk, and it goes with the last process that has it. It is taken whole when it is made, because a
sparse file on a full memory is a ``SIGBUS`` later; and it is sealed, so that whoever is given the descriptor
can map it for reading only.

Layout: a header (the state in the first eight bytes, then the length and the text of a JSON
object: settings, notes, and each array's place), then the arrays, each at a cache line's border, the largest
at a huge page's.

What one process writes the other sees at once: it is the same memory, a float is written whole, and x86 keeps
the order of stores. Whoever learned of a write by a message from the writer sees it on any CPU: a system call
on both sides lies between.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from nonzero.persistence.pages import HUGE_PAGE, ask_for_huge, take

HEADER: Final = 1 << 14
"""Bytes before the arrays, at least."""
LINE: Final = 64
WITHDRAWN: Final = b"\x01"
NO_MORE_WRITERS: Final = 0x10
"""F_SEAL_FUTURE_WRITE of ``linux/fcntl.h``, which Python has no name for."""


class SharedState:
    """Named arrays in shared memory; made by :meth:`create`, found by :meth:`attach`.

    Parameters
    ----------
    memory
        The mapped memory, whose header is read.
    buffer
        The same memory, as arrays are made over it.
    descriptor
        What others attach to; None where there is none here.

    Attributes
    ----------
    settings, notes
        What was given with them.
    arrays
        By name. Of an attached state they are mapped for reading: a write ends the process.

    Examples
    --------
    >>> import numpy as np
    >>> written = SharedState.create({"bits": 2}, {"table": np.zeros(4, np.float32)})
    >>> read = SharedState.attach(written.descriptor)
    >>> written.arrays["table"][0] = 7
    >>> float(read.arrays["table"][0]), read.settings
    (7.0, {'bits': 2})
    """

    def __init__(self, memory: mmap.mmap, buffer: Any, descriptor: int | None) -> None:
        self._memory = memory
        self._descriptor = descriptor
        size = int.from_bytes(memory[8:16], "little")
        header = json.loads(memory[16 : 16 + size])
        self.settings: dict[str, Any] = header["settings"]
        self.notes: dict[str, Any] = header["notes"]
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.frombuffer(buffer, dtype, int(np.prod(shape)), offset).reshape(shape)
            for name, (dtype, shape, offset) in header["arrays"].items()
        }

    @classmethod
    def create(
        cls,
        settings: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        notes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Copy arrays into new shared memory.

        Parameters
        ----------
        settings
            What JSON holds, kept beside the arrays.
        arrays
            By name, of any shape and dtype.
        notes
            More that JSON holds.

        Returns
        -------
        SharedState
            With a descriptor, which it closes when it goes.

        Raises
        ------
        OSError
            Where there is not so much memory.

        Examples
        --------
        >>> import numpy as np
        >>> SharedState.create({}, {"table": np.zeros(4, np.float32)}).arrays["table"].tolist()
        [0.0, 0.0, 0.0, 0.0]
        """
        # A schema may be long; the places of the arrays never take more than the other half.
        said = {"settings": dict(settings), "notes": dict(notes or {})}
        header = max(HEADER, 2 * len(json.dumps(said)))
        places, end = {}, header
        for name, array in sorted(arrays.items(), key=lambda item: item[1].nbytes):
            border = HUGE_PAGE if array.nbytes >= HUGE_PAGE else LINE
            begin = -(-end // border) * border
            places[name] = (array.dtype.str, array.shape, begin)
            end = begin + array.nbytes
        text = json.dumps({**said, "arrays": places}).encode()
        if 16 + len(text) > header:
            raise ValueError(f"{len(text)} bytes of settings do not fit into a header of {header}")
        descriptor = os.memfd_create("nonzero", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, end)
            memory = mmap.mmap(descriptor, end)
            ask_for_huge(memory)
            take(np.frombuffer(memory, np.uint8), end)
            os.posix_fallocate(descriptor, 0, end)  # what is left is taken, or refused, here
            memory[8 : 16 + len(text)] = len(text).to_bytes(8, "little") + text
            seals = NO_MORE_WRITERS | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(descriptor)
            raise
        state = cls(memory, memory, descriptor)
        for name, array in arrays.items():
            np.copyto(state.arrays[name], array)
        return state

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Map what another process made; the descriptor may be closed then.

        Parameters
        ----------
        descriptor
            The file descriptor of the memory.

        Returns
        -------
        SharedState
            To be read alone, without a descriptor.

        Raises
        ------
        OSError
            Where it is no such memory.

        Examples
        --------
        >>> import numpy as np
        >>> written = SharedState.create({}, {"table": np.zeros(4, np.float32)})
        >>> sorted(SharedState.attach(written.descriptor).arrays)
        ['table']
        """
        size = os.fstat(descriptor).st_size
        memory = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        ask_for_huge(memory)
        return cls(memory, _as_writable(memory, size), None)

    @property
    def descriptor(self) -> int:
        """What another process attaches to; only of a state that was created here and not withdrawn."""
        if self._descriptor is None:
            raise ValueError("there is no descriptor of this memory here")
        return self._descriptor

    @property
    def withdrawn(self) -> bool:
        """Whether the writer has withdrawn it: it should be used no more."""
        return self._memory[:1] == WITHDRAWN

    def mark_withdrawn(self) -> None:
        """Tell all who have attached to it to use it no more; others may still attach, and are told so.

        Examples
        --------
        >>> import numpy as np
        >>> written = SharedState.create({}, {"table": np.zeros(4, np.float32)})
        >>> written.mark_withdrawn()
        >>> SharedState.attach(written.descriptor).withdrawn
        True
        """
        self._memory[:1] = WITHDRAWN

    def withdraw(self) -> None:
        """Tell all who have attached to it to use it no more; its descriptor is closed.

        Examples
        --------
        >>> import numpy as np
        >>> written = SharedState.create({}, {"table": np.zeros(4, np.float32)})
        >>> read = SharedState.attach(written.descriptor)
        >>> written.withdraw()
        >>> read.withdrawn
        True
        """
        self.mark_withdrawn()
        self.close()

    def close(self) -> None:
        """Close the descriptor; the memory stays as long as somebody maps it. May be called again.

        Examples
        --------
        >>> import numpy as np
        >>> written = SharedState.create({}, {"table": np.zeros(4, np.float32)})
        >>> written.close()
        >>> written.arrays["table"].size
        4
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()


def _as_writable(memory: mmap.mmap, size: int) -> Any:
    """Return a buffer over read-only memory that numpy takes for writable.

    Kernels are compiled for arrays that may be written to. These may not, and it is the memory that says so,
    not numpy: it is mapped for reading.
    """
    address = np.frombuffer(memory, np.uint8).ctypes.data
    buffer: Any = (ctypes.c_ubyte * size).from_address(address)
    buffer.memory = memory  # kept as long as an array is
    return buffer
