"""The command line: a process of its own, forked from one that has imported all; or in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from fork_server import fork_server
from nonzero_service import cli
from nonzero_service.cli import main

COMMAND = [sys.executable, "-m", "nonzero_service.cli"]
"""As its users have it: Python is started for it."""


def nonzero(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run ``nonzero`` to its end."""
    given = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as place:
        streams = [Path(place, name) for name in ("stdin", "stdout", "stderr")]
        for stream, content in zip(streams, (stdin, b"", b""), strict=True):
            stream.write_bytes(content)
        child = fork_server().fork("command_line:run", streams, os.environ, arguments=given)
        status = child.run()
        return subprocess.CompletedProcess(given, status, streams[1].read_text(), streams[2].read_text())


def run(arguments: list[str]) -> None:
    """Be ``nonzero`` in the process that was forked for it."""
    sys.argv = ["nonzero", *arguments]
    cli.run()


def nonzero_here(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run ``nonzero`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with (
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main([*map(str, arguments)])
        except SystemExit as ended:
            status = ended.code or 0
    assert isinstance(status, int)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
