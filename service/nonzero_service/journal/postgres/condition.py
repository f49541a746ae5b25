"""How a database keeps what it acknowledges: on one machine, or on two."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from nonzero_service.journal.postgres.line import Line

SETTINGS: Final = """
SELECT current_setting('server_version'), current_setting('synchronous_commit'),
  current_setting('synchronous_standby_names'), current_setting('fsync'),
  pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
"""

STANDBYS: Final = """
SELECT coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(state, ''),
  coalesce(sync_state, ''), coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint
FROM pg_stat_replication ORDER BY 1, 2
"""

FLUSHED: Final = frozenset({"on", "remote_apply"})
"""Under these a commit waits until a synchronous standby has it on its disk."""

SYNCHRONOUS: Final = frozenset({"sync", "quorum"})

_HOW_MANY: Final = re.compile(r"\s*(?:(?:FIRST|ANY)\s*)?(\d+)\s*\(", re.IGNORECASE)
"""How ``synchronous_standby_names`` begins, where it says how many standbys a commit waits for."""


class Standby(NamedTuple):
    """A server that follows the primary."""

    name: str
    address: str
    state: str
    """``streaming`` where all is well."""
    sync_state: str
    """``sync`` or ``quorum`` where commits wait for it."""
    behind_bytes: int
    """What the primary has written and it does not show yet."""


class Condition(NamedTuple):
    """What a database says of itself."""

    host: str
    """The primary's, as the address has it."""
    version: str
    synchronous_commit: str
    synchronous_standby_names: str
    fsync: str
    standbys: tuple[Standby, ...] | None
    """None where this user may not see them."""

    @property
    def synchronous(self) -> int | None:
        """How many standbys commits wait for, and that are there; None where that is not known."""
        if self.standbys is None:
            return None
        return sum(one.sync_state in SYNCHRONOUS and one.state == "streaming" for one in self.standbys)

    @property
    def required(self) -> int:
        """How many standbys a commit waits for."""
        if not self.synchronous_standby_names or self.synchronous_commit in ("off", "local"):
            return 0
        said = _HOW_MANY.match(self.synchronous_standby_names)
        return int(said[1]) if said else 1

    @property
    def waits(self) -> bool:
        """Whether commits wait for standbys that are not there, so that nothing is acknowledged."""
        return self.synchronous is not None and self.synchronous < self.required

    @property
    def waiting(self) -> str:
        """For which standbys commits wait that are not there, and the way out; empty where for none."""
        if not self.waits:
            return ""
        found = ", ".join(f"{one.name} ({one.state})" for one in self.standbys or ()) or "none"
        return (
            f"commits wait for {self.required} of the standbys {self.synchronous_standby_names!r}, and "
            f"{self.synchronous} of them streams; there is: {found}. Start what is missing, under its "
            "name there (the standby's cluster_name), or change synchronous_standby_names"
        )

    @property
    def lasting_standbys(self) -> int | None:
        """How many of them have an update on their disk when it is acknowledged."""
        return self.synchronous if self.synchronous_commit in FLUSHED else 0

    @property
    def danger(self) -> str:
        """What may be lost, and the way out; empty where an acknowledged update is on two machines."""
        if self.fsync != "on":
            return "fsync is off: a power cut may damage all; set it on"
        if self.synchronous_commit in ("off", "local"):
            return (
                f"synchronous_commit is {self.synchronous_commit}: commits wait for no standby, and with the "
                "primary what it acknowledged last is lost; set it on, or remote_apply"
            )
        if not self.synchronous_standby_names:
            return (
                "synchronous_standby_names is empty: commits wait for no standby, and with the primary what "
                "it acknowledged last is lost; name one"
            )
        if self.synchronous_commit not in FLUSHED:
            return (
                f"synchronous_commit is {self.synchronous_commit}: a standby may have what is acknowledged "
                "in memory alone; set it on, or remote_apply"
            )
        if self.synchronous is None:
            return "this user may not see whether a standby is there: grant it pg_read_all_stats"
        return self.waiting


def condition_of(line: Line) -> Condition:
    """Ask a database how it keeps what it acknowledges.

    Raises
    ------
    JournalUnreachableError
        Where it does not answer.
    """
    version, commit, names, fsync, sees = line.run(SETTINGS)[0]
    standbys = tuple(Standby(*row) for row in line.run(STANDBYS)) if sees else None
    return Condition(line.host, version, commit, names, fsync, standbys)
