"""Look the locked packages up among known vulnerabilities; where these cannot be reached, say so and pass."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SECONDS = 180
LOCKS = sorted(Path(__file__).parent.parent.glob("requirements*.txt"))


def main() -> int:
    """Return the exit status: 1 where a locked package has a known vulnerability."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--timeout", "10"]
    command += ["--progress-spinner", "off", "--format", "json"]
    for lock in LOCKS:
        command += ["--requirement", str(lock)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return not_audited(f"no answer within {SECONDS} seconds")
    except ValueError:
        return not_audited(done.stderr.strip().rpartition("\n")[2])
    skipped = [package for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return not_audited(skipped[0]["skip_reason"])
    if skipped:
        say(f"Not audited: {', '.join(package['name'] for package in skipped)}")
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    audited = len(packages) - len(skipped)
    say("\n".join(found) or f"{audited} locked packages, none with a known vulnerability")
    return bool(found)


def not_audited(reason: str) -> int:
    """Say why nothing was audited, which is no failure."""
    say(f"THE DEPENDENCIES WERE NOT AUDITED: what is known of vulnerabilities cannot be reached ({reason})")
    return 0


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
