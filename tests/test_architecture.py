"""Imports run one way, and each kind of knowledge stands in one place."""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import nonzero

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
SERVICE = sorted((ROOT / "service").rglob("*.py"))
BUILD = ROOT / "core/nonzero/compiled/build"
STORAGE = ROOT / "service/nonzero_service/storage"
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|BEGIN|COMMIT|VACUUM)\s+\w")


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path: Path) -> Iterator[str]:
    """Name the top-level packages that a file imports, wherever in it."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def importers(package: str, files: list[Path]) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in files if package in imports(path)}


def test_the_library_never_imports_the_service() -> None:
    assert importers("nonzero_service", CORE) == set()


def test_the_library_imports_only_what_the_bare_wheel_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]}
    imported = {package for path in CORE if BUILD not in path.parents for package in imports(path)}
    assert imported - sys.stdlib_module_names <= required | {"nonzero"}


def test_oracles_import_only_numpy() -> None:
    oracles = sorted((ROOT / "tests").rglob("oracle*.py"))
    assert {package for path in oracles for package in imports(path)} - sys.stdlib_module_names == {"numpy"}


def test_llvm_and_numba_stand_in_one_folder_that_nothing_else_imports() -> None:
    elsewhere = [path for path in CORE + SERVICE if BUILD not in path.parents]
    assert importers("llvmlite", elsewhere) | importers("numba", elsewhere) == set()
    imported = [
        path
        for path in elsewhere
        if re.search(r"^\s*(from|import) nonzero\.compiled\.build", path.read_text(), re.MULTILINE)
    ]
    assert imported == []


def test_sql_stands_in_one_folder() -> None:
    elsewhere = [path for path in CORE + SERVICE if STORAGE not in path.parents]
    assert importers("apsw", elsewhere) | importers("sqlite3", elsewhere) == set()
    statements = [
        (str(path.relative_to(ROOT)), node.value)
        for path in elsewhere
        for node in nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert statements == []


@pytest.mark.parametrize("root", ["core", "service"])
def test_source_roots_are_no_packages(root: str) -> None:
    # As packages they would collide with any other project's `core` in site-packages.
    assert not (ROOT / root / "__init__.py").exists()


def test_the_public_names_are_these() -> None:
    assert sorted(nonzero.__all__) == [
        "AdaGrad",
        "Batch",
        "BatchError",
        "Conflicts",
        "DualAveraging",
        "Explanation",
        "FTRL",
        "FormatError",
        "InputError",
        "LineError",
        "LogisticRegression",
        "NonzeroError",
        "ReadOnlyError",
        "Schema",
        "SettingsError",
        "SnapshotError",
        "formats",
    ]
    assert all(hasattr(nonzero, name) for name in nonzero.__all__)


def test_nothing_is_unpickled() -> None:
    """What is read may come from anyone, and names no code to run."""
    runs_code = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "dbm"}
    assert {name: importers(name, CORE + SERVICE) for name in runs_code} == {
        name: set() for name in runs_code
    }
    calls = [
        (str(path.relative_to(ROOT)), node.attr)
        for path in CORE + SERVICE
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in {"load", "fromregex", "memmap"}
        if isinstance(node.value, ast.Name) and node.value.id in {"np", "numpy"}
    ]
    assert calls == []  # np.load would unpickle an array of objects, were it allowed to


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_every_dependency_is_pinned_and_hashed(lock: Path) -> None:
    pinned = re.split(r"(?m)^(?=\w)", re.sub(r"(?m)^ *#.*\n", "", lock.read_text()))[1:]
    assert pinned
    for requirement in pinned:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[^ ]+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
