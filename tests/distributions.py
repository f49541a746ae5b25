"""Distributions: built, and installed where there is only what they require."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["built", "environment_of", "packages_of"]


def built(python: str | Path, target: str, source: Path, folder: Path) -> Path:
    """Build an sdist or a wheel; return its file."""
    build = [python, "-m", "hatchling", "build", "--target", target, "--directory", folder]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


def environment_of(wheel: Path, environment: Path, *extras: str) -> Path:
    """Make an environment of a wheel, what it requires with extras and nothing else; return its directory."""
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    install = ["install", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), *install]
    subprocess.run(pip, check=True, capture_output=True, timeout=60)
    packages = packages_of(environment)
    (installed,) = packages.glob("*.dist-info")
    found = {package.name: package for package in _required(Distribution.at(installed), extras, {}).values()}
    for package in found.values():
        for name in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            (packages / name).symlink_to(Path(str(package.locate_file(name))))
    return environment


def packages_of(environment: Path) -> Path:
    """Return where an environment has its packages."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))


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
