"""How a process that serves begins to import: what only a person at a terminal would see is left out."""

from __future__ import annotations

import sys


def import_structlog() -> None:
    """Import structlog without Rich, which it takes where it finds it, and which no line of a log needs.

    It would be a tenth of the time to the first prediction, of the service and of each of its workers.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
