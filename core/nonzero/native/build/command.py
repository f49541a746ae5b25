"""Building the libraries of kernels: what has changed is compiled, the rest is linked again as it was."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_hexdigest

from nonzero.native import loading
from nonzero.native.build.linking import link
from nonzero.native.build.sources import Sources, digest
from nonzero.native.declaring import kernels_to_build
from nonzero.native.types import Signature

ROOT: Final = Path(__file__).parents[4]
"""The checkout, or what was unpacked of an sdist."""

OBJECTS: Final = ROOT / "build/kernels"
"""The machine code of every kernel by itself, from one build to the next."""

PACKAGES: Final = (ROOT / "core/nonzero", ROOT / "service/nonzero_service")

CHECKED: Final = "checked"
"""The library whose kernels check every index, for tests."""

UNUSED_SECONDS: Final = 30 * 86_400.0
"""So long the machine code of a kernel stays that no build has needed."""

COMPILER: Final = (
    "layout",
    "build.compiling",
    "build.entries",
    *(f"build.instructions.{name}" for name in ("abreast", "arithmetic", "rows", "text", "values")),
)
"""What shapes machine code beside a kernel's own definitions."""

TOOLS: Final = ("numba", "llvmlite", "numpy")


class Kernel(NamedTuple):
    """A kernel, and what its machine code depends on."""

    function: Callable[..., Any]
    signature: Signature
    digest: str
    """Of its definitions and of what compiles them."""
    definitions: int
    """How many it needs."""


class Home(NamedTuple):
    """Where libraries stand, and what shall be in them."""

    folder: Path
    kernels: list[Kernel]
    sources: dict[str, loading.Sources]


def main(arguments: list[str]) -> None:
    """Build what is not there yet, and say how long it took."""
    parser = argparse.ArgumentParser(prog="python core/nonzero/native/build", description=main.__doc__)
    parser.add_argument(
        "--all", action="store_true", help="for every CPU of this architecture, not only this"
    )
    parser.add_argument(
        "--checked", action="store_true", help="also a library that checks indices, for tests"
    )
    parser.add_argument(
        "modules", nargs="*", metavar="FOLDER:MODULE", help="also the kernels of a module, into lib beside it"
    )
    asked = parser.parse_args(arguments)
    homes = _homes([named.split(":") for named in asked.modules])
    build(homes, _targets() if asked.all else loading.usable_targets()[:1])
    if asked.checked:
        build(homes, [CHECKED])


def _homes(others: list[list[str]]) -> list[Home]:
    """Find all kernels: the two packages' are the first home."""
    roots = [path.parent for path in PACKAGES] + [ROOT / folder for folder, _ in others]
    sys.path[:0] = map(str, roots)
    sources, collected = Sources(roots), kernels_to_build()
    names = [name for path in PACKAGES for name in _modules(path) if [*sources.kernels(name)]]
    for name in (*names, *(name for _, name in others)):
        import_module(name)
    compiler = [f"nonzero.native.{name}" for name in COMPILER]
    tools = digest(*map(sources.text_of, compiler), str(sys.version_info[:2]), *map(_version, TOOLS))
    homes = {loading.HOME: Home(loading.HOME, [], {})}
    for function, signature in collected:
        folder = loading.home_of(function)
        home = homes.setdefault(folder, Home(folder, [], {}))
        definitions = sources.needed(function.__module__, function.__name__)
        key = digest(tools, loading.entry_of(function), repr(signature), *sorted(definitions.values()))
        home.kernels.append(Kernel(function, signature, key, len(definitions)))
        files = map(sources.path_of, (*(at.module for at in definitions), *compiler))
        known = home.sources.setdefault(function.__module__, {})
        known.update({file: loading.digest_of(file) or "" for file in files})
    return [*homes.values()]


def _modules(package: Path) -> Iterator[str]:
    """Yield the names of a package's modules."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _version(tool: str) -> str:
    return version(tool) if find_spec(tool) else ""


def build(homes: list[Home], targets: list[str]) -> None:
    """Make the libraries of some homes, for some targets, of which something has changed."""
    if not _stale(homes, targets):
        return
    OBJECTS.mkdir(parents=True, exist_ok=True)
    with (OBJECTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stale = _stale(homes, targets)  # another process may have built them just now
        kernels = {kernel.digest: kernel for home in stale for kernel in home.kernels}.values()
        missing = [
            kernel for kernel in kernels if not all(_object(kernel, target).exists() for target in targets)
        ]
        if missing:
            _compile(missing, targets)
        for home in stale:
            for target in targets:
                _link(home, target)
        for path in OBJECTS.glob("*.o"):
            if time.time() - path.stat().st_mtime > UNUSED_SECONDS:
                path.unlink()


def _stale(homes: list[Home], targets: list[str]) -> list[Home]:
    return [home for home in homes if not all(_is_fresh(home, target) for target in targets)]


def _link(home: Home, target: str) -> None:
    """Make a library of what has been compiled."""
    objects = sorted({_object(kernel, target) for kernel in home.kernels})
    for path in objects:
        os.utime(path)
    library = home.folder / f"{target}.so"
    link(objects, library)
    unfinished = library.with_suffix(f".{os.getpid()}.json")
    told = {"kernels": _all(home), "library": xxh3_64_hexdigest(library.read_bytes())}
    unfinished.write_text(json.dumps({"": told} | home.sources, sort_keys=True))
    unfinished.replace(library.with_suffix(".json"))


def _all(home: Home) -> str:
    """Return what tells a library from one made otherwise."""
    return digest(*sorted(kernel.digest for kernel in home.kernels))


def _is_fresh(home: Home, target: str) -> bool:
    """Whether a library is there, and was made of what there is now."""
    library = home.folder / f"{target}.so"
    try:
        made_of = loading.made_of(library)
    except (OSError, ValueError):
        return False
    by = made_of.pop("")["kernels"]
    # Where there is no compiler, nothing of it can have changed.
    return made_of == home.sources and (not find_spec("numba") or by == _all(home))


def _object(kernel: Kernel, target: str) -> Path:
    return OBJECTS / f"{kernel.digest}.{target}.o"


def _compile(kernels: list[Kernel], targets: list[str]) -> None:
    """Compile kernels, as many at once as there are processors."""
    if not find_spec("numba"):
        raise SystemExit(f"The kernels of {kernels[0].function.__module__} have changed: {loading.BUILD}")
    processes = min(len(os.sched_getaffinity(0)), len(kernels))
    said = f"Compiling {len(kernels)} kernel{'s' * (len(kernels) > 1)} for {' and '.join(targets)}"
    print(said, end=" ... ", flush=True)  # noqa: T201
    start = time.monotonic()
    _set_numba_up(checked=targets == [CHECKED])
    # Those with the most to compile come first, so that no process is alone with one of them at the end.
    kernels.sort(key=lambda kernel: -kernel.definitions)
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        failed = [*filter(None, pool.map(_compile_one, kernels, [targets] * len(kernels)))]
    if failed:
        more = f"\nSo cannot {len(failed) - 1} more." if failed[1:] else ""
        raise SystemExit(f"\n{failed[0]}{more}")
    print(f"{time.monotonic() - start:.0f} s, in {processes} processes", flush=True)  # noqa: T201


def _set_numba_up(*, checked: bool) -> None:
    """Have Numba compile alike wherever it runs, whatever the environment says."""
    for name in [name for name in os.environ if name.startswith("NUMBA_")]:
        del os.environ[name]
    if checked:
        os.environ["NUMBA_BOUNDSCHECK"] = "1"
    config: Any = import_module("numba.core.config")
    config.reload_config()


def _targets() -> list[str]:
    """Return the libraries that are made on this machine, that of the best CPU first."""
    machine = os.uname().machine
    return [*loading.TARGETS.get(machine, [machine])]


def _cpu(target: str) -> str:
    """Return LLVM's name of the CPU that a library is made for."""
    if target == CHECKED:  # any
        target = _targets()[-1]
    return "generic" if target == os.uname().machine else target


def _compile_one(kernel: Kernel, targets: list[str]) -> str | None:
    """Compile a kernel; return why it cannot be, or None."""
    from numba.core.errors import NumbaError

    from nonzero.native.build.compiling import compiled

    try:
        made = compiled(kernel.function, kernel.signature, map(_cpu, targets))
    except NumbaError as error:
        named = f"{kernel.function.__module__}.{kernel.function.__name__}"
        return f"{named} cannot be compiled. {_reason(str(error))}"
    for target, code in zip(targets, made, strict=True):
        path = _object(kernel, target)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(code)
        unfinished.replace(path)
    return None


def _reason(text: str) -> str:
    """Return what Numba says of a kernel without what it says of itself: what is wrong, then each call."""
    own = (
        r"Failed in |During: |There are |    <source elided>|  +(With |No match|\* )"
        r"| .*(Of which|Overload|Intrinsic of)"
    )
    lines = [line for line in text.splitlines() if line.strip(" ^") and not re.match(own, line)]
    return "\n".join(line.replace("Lanes8", "eight float32") for line in lines)
