"""Fuzz one target with atheris: ``PYTHONPATH=tests python -m fuzz TARGET [options of libFuzzer] [inputs]``.

libFuzzer changes inputs and keeps those that reach new lines of Python. It does not see inside of compiled
kernels, but sees the plain parsers that these are held against.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

import atheris

from fuzz.targets import TARGETS


def instrument(module: ModuleType) -> None:
    """Let libFuzzer see which lines of a module run; kernels are no Python functions, and stay as is."""
    for found in list(vars(module).values()):
        if inspect.isfunction(found) and found.__module__ == module.__name__:
            atheris.instrument_func(found)
        elif inspect.isclass(found) and found.__module__ == module.__name__:
            for method in vars(found).values():
                if inspect.isfunction(method):
                    atheris.instrument_func(method)


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nThe targets are: {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]
    target(b"")  # what is imported and made once
    for name, module in sorted(sys.modules.items()):
        if name.startswith(("nonzero.", "nonzero_service.")) and name.rpartition(".")[2] not in UNSEEN:
            instrument(module)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


UNSEEN = ("compiled", "intrinsics")
"""What makes kernels."""

if __name__ == "__main__":
    main()
