"""The report that the long tests leave."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

Figure = Callable[[str, str, str], None]
"""Takes what was tested and how, the figure to reach, and the figure found."""

FIGURE = "figure"
"""The property of a test under which its report has a row."""

USUAL = ("-m", "soak", "-rA", "--report")
"""What `make soak` itself says."""

HEAD = """# The long tests, {date}

Written by `make soak`{arguments}. Python {python}, SQLite {sqlite}, {cores} cores of {processor},
Linux {kernel}; load when it ended: {load}. {passed} passed, {failed} failed, {skipped} skipped.
It took {minutes:.0f} minutes. What counts and compares is exact; times are those of this machine.

| test | to reach | found | | seconds |
|---|---|---|---|---|
"""


class Report:
    """Collects what the long tests found; a test that found nothing is named with the reason."""

    def __init__(self, config: pytest.Config) -> None:
        self.path: Path = config.getoption("--report").absolute()
        given = [str(one) for one in config.invocation_params.args]
        self.arguments = [
            one for one in given if one not in USUAL and one != str(config.getoption("--report"))
        ]
        self.rows: list[tuple[str, str, str, str, float]] = []
        self.begun = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the rows of a test that has ended, in this process or in another."""
        if report.when == "call" or (report.when == "setup" and not report.passed):
            name = report.nodeid.partition("::")[2]
            rows: list[Any] = [row for kind, row in report.user_properties if kind == FIGURE]
            found = rows or [(f"`{name}`", "", "")]
            if not report.passed:
                found = [
                    (test, reach, f"{figure} {_reason(report)}".strip()) for test, reach, figure in found
                ]
            self.rows += [(*row, report.outcome, report.duration) for row in found]

    def pytest_sessionfinish(self) -> None:
        """Write the table; the rows of one test follow each other."""
        outcomes = [row[3] for row in self.rows]
        text = HEAD.format(
            date=f"{datetime.now(UTC):%-d %B %Y}",
            arguments=f" with `{' '.join(self.arguments)}`" if self.arguments else "",
            python=platform.python_version(),
            sqlite=apsw.sqlite_lib_version(),
            cores=os.cpu_count(),
            processor=_processor(),
            kernel=platform.release(),
            load=f"{os.getloadavg()[0]:.1f}",
            minutes=(time.monotonic() - self.begun) / 60,
            **{kind: outcomes.count(kind) for kind in ("passed", "failed", "skipped")},
        )
        for test, reach, figure, outcome, seconds in self.rows:
            shown = outcome if outcome == "passed" else f"**{outcome}**"
            cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in (test, reach, figure))
            text += f"| {' | '.join(cells)} | {shown} | {seconds:.0f} |\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text)
        sys.stdout.write(f"\nThe report is {self.path}\n")


def _reason(report: Any) -> str:
    """Say in a line why a test did not pass."""
    if report.skipped:
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).splitlines()[0][:200]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
