"""The kernels are built before the package that holds them."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = "core/nonzero/native"


class KernelsHook(BuildHookInterface[Any]):
    """Builds what has changed, and names the machines that can run it."""

    @cached_property
    def linking(self) -> dict[str, Any]:
        """What the build knows of linkers; it needs nothing but Python."""
        return runpy.run_path(str(Path(self.root, NATIVE, "build/linking.py")))

    def dependencies(self) -> list[str]:
        """Return what building needs beside the requirements of the build: a linker, where there is none."""
        if self.linking["linker"]():
            return []
        project = tomllib.loads(Path(self.root, "pyproject.toml").read_text())
        return [*project["dependency-groups"]["linker"]]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the kernels, and have them in the wheel."""
        cpus = [] if version == "editable" else ["--all"]
        subprocess.run([sys.executable, f"{NATIVE}/build", *cpus], cwd=self.root, check=True)  # noqa: S603
        libraries = [path for path in Path(self.root, NATIVE, "lib").glob("*.so") if path.stem != "checked"]
        versions = [self.linking["glibc_needed"](path) for path in libraries]
        system = "linux" if None in versions else f"manylinux_2_{max(17, *versions)}"
        build_data["tag"] = f"py3-none-{system}_{os.uname().machine}"
        build_data["pure_python"] = False
        build_data["artifacts"] += [
            f"/{NATIVE}/lib/{path.stem}.{kind}" for path in libraries for kind in ("so", "json")
        ]
