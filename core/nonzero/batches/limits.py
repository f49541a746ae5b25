"""The limits of what a batch holds."""

from __future__ import annotations

from typing import Final

MAX_INDEX: Final = 2**31
"""The largest index: abs() of a signed 32-bit hash."""

MAX_VALUE: Final = 1e6
"""The largest magnitude of a feature's value."""

MAX_WEIGHT: Final = 1e6
"""The largest importance weight; 0 is counted and not learned from."""

MAX_ID: Final = 255
"""The longest id, in characters."""

MAX_TIME: Final = 10**18
"""Times are below this, in milliseconds: 30 million years."""

MAX_JOINED: Final = 2**22
"""The nonzeros of all candidates of one body, with those that they share: 40 MB."""
