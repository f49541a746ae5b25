"""Distributions: built, and installed where there is only what they require."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["built", "environment_of", "packages_of", "with_extras"]


def built(python: str | Path, target: str, source: Path, folder: Path) -> Path:
    """Build an sdist or a wheel; return its file."""
    build = [python, "-m", "hatchling", "build", "--target", target, "--directory", folder]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


def environment_of(wheel: Path, environment: Path) -> Path:
    """Make an environment of a wheel, what it requires and nothing else; return its directory."""
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    install = ["install", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), *install]
    subprocess.run(pip, check=True, capture_output=True, timeout=60)
    _link_required(packages_of(environment), ())
    return environment


def with_extras(bare: Path, environment: Path, *extras: str) -> Path:
    """Make an environment of what another has and what the wheel's extras require; return its directory.

    The files are the other's, not copies of them: installing and compiling them takes a second or two.
    """
    shutil.copytree(bare, environment, symlinks=True, copy_function=os.link)
    _link_required(packages_of(environment), extras)
    return environment


def packages_of(environment: Path) -> Path:
    """Return where an environment has its packages."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))


def _link_required(packages: Path, extras: Iterable[str]) -> None:
    """Link to what the one that is installed requires with extras, where it is not there yet."""
    (installed,) = packages.glob("nonzero_*.dist-info")
    found = {package.name: package for package in _required(Distribution.at(installed), extras, {}).values()}
    for package in found.values():
        for name in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (packages / name).is_symlink():
                (packages / name).symlink_to(Path(str(package.locate_file(name))))


def _required(
    of: Distribution, extras: Iterable[str], found: dict[tuple[str, str], Distribution]
) -> dict[tuple[str, str], Distribution]:
    """Add what a distribution requires with extras, and what that requires, to what was found."""
    wanted = {"", *extras}
    for requirement in map(Requirement, of.requires or []):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in wanted):
            continue
        for extra in {"", *requirement.extras}:
            if (requirement.name, extra) not in found:
                found[requirement.name, extra] = distribution(requirement.name)
                _required(found[requirement.name, extra], [extra], found)
    return found
