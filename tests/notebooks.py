# mypy: disable-error-code="no-untyped-call"
"""The notebooks: executed from the first cell to the last, by a kernel of their own.

``python tests/notebooks.py`` executes them all and keeps what they print now.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

__all__ = ["NOTEBOOKS", "executed", "outputs"]

ROOT = Path(__file__).parent.parent
CLIENT = ROOT / "client"
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def executed(path: Path, folder: Path) -> NotebookNode:
    """Execute a notebook in a folder, by a process of its own; return it with what it printed."""
    result = folder / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, __file__, path, result],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CLIENT)},  # which a checkout does not install
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    notebook: NotebookNode = nbformat.read(result, as_version=4)
    return notebook


def outputs(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Return what cells print, and what their last expressions are, as text, each behind its kind."""
    return [
        (output.get("name", "result"), output["text"] if "text" in output else output["data"]["text/plain"])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


def execute(path: Path, result: Path) -> None:
    """Execute a notebook, and write it without what says only when and where that was."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/.kernel")
        NotebookClient(notebook, km=kernel, timeout=60, resources={"metadata": {"path": folder}}).execute()
    notebook.metadata = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        cell.metadata = {}
    nbformat.write(notebook, result)


if __name__ == "__main__":
    if sys.argv[1:]:
        execute(*map(Path, sys.argv[1:]))
    else:
        for place in NOTEBOOKS:
            execute(place, place)
