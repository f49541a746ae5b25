"""An object file -> machine code in memory, without LLVM: its library alone takes longer than all kernels.

LLVM writes a kernel for x86-64 as an ELF file: code, constants, and the places where an address is to be put,
all of one kind, the whole 64 bits. Whatever else there is in a file is left to LLVM's own loader.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NotOursError", "placed"]

# Of "Tool Interface Standard: Executable and Linking Format", 1995, and its 64-bit form; little endian.
HEADER: Final = np.dtype(
    {
        "names": ["magic", "machine", "sections", "count"],
        "formats": ["S6", "<u2", "<u8", "<u2"],
        "offsets": [0, 18, 40, 60],
        "itemsize": 64,
    }
)
SECTION: Final = np.dtype(
    [
        *(("name", "<u4"), ("kind", "<u4"), ("flags", "<u8"), ("address", "<u8"), ("offset", "<u8")),
        *(("size", "<u8"), ("link", "<u4"), ("info", "<u4"), ("alignment", "<u8"), ("entry", "<u8")),
    ]
)
SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
RELOCATION: Final = np.dtype([("place", "<u8"), ("kind", "<u4"), ("symbol", "<u4"), ("added", "<i8")])

ELF_64_LITTLE: Final = b"\x7fELF\x02\x01"
X86_64: Final = 62
CODE_OR_DATA, SYMBOLS, RELOCATIONS = 1, 2, 4
WRITTEN, LOADED = 1, 2
UNDEFINED: Final = 0
WHOLE_ADDRESS: Final = 1
"""R_X86_64_64"""


class NotOursError(Exception):
    """An object file holds what is left to LLVM's loader."""


def placed(code: bytes, entry: str) -> tuple[mmap.mmap, int]:
    """Put an object file into memory, to be run.

    Parameters
    ----------
    code
        The file, as LLVM wrote it.
    entry
        A symbol.

    Returns
    -------
    memory
        To be kept for as long as anything runs in it.
    address
        Where the symbol is, 0 where there is none.

    Raises
    ------
    NotOursError
        Where the file is of another machine, or holds more than code, constants and whole addresses.
    """
    sections = _sections(code)
    kinds = sections["kind"]
    starts, size = _laid_out(sections)
    # Constants can be run too; what counts is that they cannot be written to.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    image = np.frombuffer(memory, np.uint8)
    base = image.ctypes.data
    for k, start in starts.items():
        content = _content(code, sections[k])
        memory[start : start + len(content)] = content
    (table,) = sections[kinds == SYMBOLS]
    symbols = np.frombuffer(_content(code, table), SYMBOL)
    names = _content(code, sections[table["link"]])

    def address(symbol: int) -> int:
        section = int(symbols["section"][symbol])
        if section == UNDEFINED:
            return _address_of(_name(names, symbols[symbol]))
        if section not in starts:
            raise NotOursError("it names what is not loaded")
        return base + starts[section] + int(symbols["value"][symbol])

    for section in sections[kinds == RELOCATIONS]:
        if (k := int(section["info"])) in starts:
            _relocate(image[starts[k] :], np.frombuffer(_content(code, section), RELOCATION), address)
    _make_runnable(base, size)
    for symbol in np.flatnonzero(np.isin(symbols["section"], [*starts])).tolist():
        if _name(names, symbols[symbol]) == entry.encode():
            return memory, address(symbol)
    return memory, 0


def _sections(code: bytes) -> NDArray[Any]:
    header = np.frombuffer(code, HEADER, 1)[0]
    if header["magic"] != ELF_64_LITTLE or header["machine"] != X86_64:
        raise NotOursError("it is no object file of x86-64")
    return np.frombuffer(code, SECTION, int(header["count"]), int(header["sections"]))


def _laid_out(sections: NDArray[Any]) -> tuple[dict[int, int], int]:
    """Return where each section that is loaded begins, and the size of them all."""
    starts: dict[int, int] = {}
    end = 0
    for k, section in enumerate(sections):
        if section["kind"] == CODE_OR_DATA and section["flags"] & LOADED and section["size"]:
            if section["flags"] & WRITTEN:
                raise NotOursError("it holds variables")
            alignment = int(section["alignment"])
            starts[k] = -(-end // alignment) * alignment
            end = starts[k] + int(section["size"])
    return starts, end


def _content(code: bytes, section: Any) -> bytes:
    start = int(section["offset"])
    return code[start : start + int(section["size"])]


def _name(names: bytes, symbol: Any) -> bytes:
    start = int(symbol["name"])
    return names[start : names.index(b"\0", start)]


def _relocate(image: NDArray[np.uint8], relocations: NDArray[Any], address: Any) -> None:
    """Put the addresses of symbols where they are needed."""
    if (relocations["kind"] != WHOLE_ADDRESS).any():
        raise NotOursError("it needs addresses of another kind")
    used, which = np.unique(relocations["symbol"], return_inverse=True)
    addresses = np.array([address(symbol) for symbol in used.tolist()], np.int64)
    values = (addresses[which] + relocations["added"]).astype("<i8")
    image[relocations["place"][:, None] + np.arange(8, dtype=np.uint64)] = values.view(np.uint8).reshape(
        -1, 8
    )


@cache
def _address_of(name: bytes) -> int:
    """Return where a function of CPython's or libc's is."""
    try:
        function = ctypes.pythonapi[name.decode()]
    except AttributeError as error:
        raise NotOursError(f"it needs {name.decode()}") from error
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_protect = ctypes.CDLL(None, use_errno=True).mprotect
_protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _make_runnable(start: int, size: int) -> None:
    """Let memory be run, and no longer be written to."""
    if _protect(start, size, mmap.PROT_READ | mmap.PROT_EXEC):
        raise NotOursError("the system does not let memory be run")
