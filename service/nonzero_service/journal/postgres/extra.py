"""Whether there is what the journal in PostgreSQL needs; this file imports nothing of it before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nonzero import SettingsError


def check_journal(url: str) -> None:
    """Refuse a start that could not speak to a database, before anything of it is imported.

    Parameters
    ----------
    url
        The address of the database. What is raised does not repeat it: it may hold a password.

    Raises
    ------
    SettingsError
        Where the extra is not installed, or the address cannot be read.
    """
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:  # also where a library of the system is missing
        raise SettingsError(
            f"journal is in PostgreSQL, whose client cannot be imported ({error.name or error}): "
            "pip install 'nonzero-ctr[postgres]'"
        ) from error
    try:
        found = conninfo_to_dict(url)
    except ProgrammingError:  # whose words quote a part of the address: they are no cause either
        found = None
    if found is None or not _is_plain(url, found):
        raise SettingsError(
            "journal cannot be read as the address of a database, such as "
            "postgresql://user:password@host1:5432,host2:5432/database?sslmode=require; a character such as "
            "@, / or % in the user or the password is written as %40, %2F, %25"
        )


def _is_plain(url: str, found: Mapping[str, Any]) -> bool:
    """Whether all parts of an address are what they seem: none is a piece of a password."""
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    ports = str(found.get("port") or "5432").split(",")
    return authority.count("@") <= 1 and "@" not in path and all(port.isdigit() for port in ports if port)
