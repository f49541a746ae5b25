"""What a kernel is made of: the definitions that it needs, and the files in which they stand.

A kernel is compiled anew when one of its definitions has changed: its own, those of the functions that it
calls, of the constants and types that they name, and so on, in whatever module. Comments and docstrings do
not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

DECORATORS: Final = frozenset(["nonzero.native", "nonzero.native.declaring", "nonzero.native.types"])
"""What kernels take from there makes no machine code, but for signatures, which are looked at themselves."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Definition(NamedTuple):
    """A name in a module; the empty one stands for all that is in it."""

    module: str
    name: str


class _Module:
    """What a module's source says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.imported: dict[str, Definition] = {}
        self.statements: list[ast.stmt] = []
        for statement in ast.parse(path.read_bytes()).body:
            if isinstance(statement, ast.ImportFrom):
                for name in statement.names:
                    at = Definition(statement.module or "", name.name)
                    self.imported[name.asname or name.name] = at
            elif isinstance(statement, ast.Import):
                for name in statement.names:
                    self.imported[name.asname or name.name.partition(".")[0]] = Definition(name.name, "")
            else:
                self.statements.append(statement)
        self._defining: dict[str, list[ast.stmt]] = {}
        for statement in self.statements:
            names = {statement.name} if isinstance(statement, Function) else _changed(statement)
            for one in names:
                self._defining.setdefault(one, []).append(statement)

    def defining(self, name: str) -> list[ast.stmt]:
        """Return the statements that make, or change, what a name stands for."""
        return self._defining.get(name, [])

    @cache  # noqa: B019 - modules are few, and live as long as the build
    def text_and_names(self, name: str) -> tuple[str, frozenset[str]]:
        """Return a text that tells a definition from others, and the names that are in it."""
        statements = self.defining(name) if name else self.statements
        names = {node.id for one in statements for node in ast.walk(one) if isinstance(node, ast.Name)}
        if not name:
            names |= self.imported.keys()
        return _text(statements), frozenset(names)


def _changed(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a module gives a meaning, or whose objects it may change."""
    changed: list[ast.AST] = [statement]
    if isinstance(statement, ast.Assign):
        changed = [*statement.targets]
    elif isinstance(statement, ast.AnnAssign):
        changed = [statement.target]
    return {node.id for part in changed for node in ast.walk(part) if isinstance(node, ast.Name)}


class Sources:
    """The modules below some roots.

    Parameters
    ----------
    roots
        The folders from which modules are imported, the first before the others.
    """

    def __init__(self, roots: list[Path]) -> None:
        self.roots = roots
        self._modules: dict[str, _Module] = {}
        self._paths: dict[str, Path | None] = {}

    def path_of(self, module: str) -> str:
        """Return where a module's source stands below its root."""
        path = self._modules[module].path
        return next(str(path.relative_to(root)) for root in self.roots if path.is_relative_to(root))

    def text_of(self, module: str) -> str:
        """Return what tells a module from one with other definitions."""
        return _text(self._modules[module].statements) if self._has(module) else ""

    def _has(self, name: str) -> bool:
        """Whether a module is below the roots; if so, it has been read."""
        if name not in self._modules:
            path = self._path(name)
            if path is None:
                return False
            self._modules[name] = _Module(path)
        return True

    def _path(self, name: str) -> Path | None:
        """Return where a module below the roots stands; None where there is none of this name."""
        if name not in self._paths:
            stem = name.replace(".", "/")
            paths = [root / file for root in self.roots for file in (f"{stem}.py", f"{stem}/__init__.py")]
            self._paths[name] = next((path for path in paths if name and path.is_file()), None)
        return self._paths[name]

    def needed(self, module: str, name: str) -> dict[Definition, str]:
        """Return the definitions that one needs, itself too, each with a text that tells it from others."""
        found: dict[Definition, str] = {}
        left = [Definition(module, name)]
        while left:
            at = self._where(left.pop())
            if at is None or at in found:
                continue
            found[at], names = self._modules[at.module].text_and_names(at.name)
            left += [Definition(at.module, one) for one in sorted(names - {at.name})]
        return found

    def _where(self, at: Definition) -> Definition | None:
        """Follow a name to the module that defines it; None where that is not one of ours, or a builtin."""
        while True:
            if at.module in DECORATORS or not self._has(at.module):
                return None
            module = self._modules[at.module]
            if not at.name or module.defining(at.name):
                return at
            if at.name in module.imported:
                origin = module.imported[at.name]
                inner = f"{origin.module}.{origin.name}"
                at = Definition(inner, "") if self._has(inner) else origin
            else:
                return None

    def kernels(self, module: str) -> Iterator[str]:
        """Yield the names of a module's kernels."""
        path = self._path(module)
        if path is None or b"kernel" not in path.read_bytes():  # which is read ten times as fast as parsed
            return
        for statement in self._modules[module].statements if self._has(module) else ():
            if isinstance(statement, ast.FunctionDef):
                for decorator in statement.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "kernel":
                        yield statement.name


def _text(statements: list[ast.stmt]) -> str:
    """Return statements as a text, without docstrings, which make no machine code."""
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, Function) and ast.get_docstring(node) is not None:
                del node.body[0]
    return "\n".join(map(ast.dump, statements))


def digest(*texts: str | bytes) -> str:
    """Return a digest of texts."""
    made = sha256()
    for text in texts:
        content = text.encode() if isinstance(text, str) else text
        made.update(b"%d:" % len(content) + content)
    return made.hexdigest()[:32]
