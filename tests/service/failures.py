"""What is handed to a part of the service where nothing may fail; and what a kill leaves of one."""

from __future__ import annotations

from pathlib import Path


def no_failure(error: Exception) -> None:
    """Fail the test with what failed."""
    raise AssertionError(error)


def leave_as_killed(data_dir: Path) -> None:
    """Have journals stand as a kill leaves them: a start opens each, and makes its rows durable."""
    for journal in data_dir.rglob("journal.sqlite"):
        journal.with_name(f"{journal.name}-wal").touch()
