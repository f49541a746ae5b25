"""What all connections to the database have in common: how they are made and how they are cut."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from nonzero_service.journal.postgres.failures import BEFORE_ALL

_USUAL: Final = {
    "connect_timeout": 2,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

SESSION: Final = (
    f"{BEFORE_ALL}SET statement_timeout = 0; SET lock_timeout = 0; "
    "SET idle_in_transaction_session_timeout = '10s'; "
    "SET client_connection_check_interval = '1s'; SET tcp_user_timeout = '5s'"
)
"""What is said first, whatever the server, the database or the user has as its own settings.

No statement is cancelled by a time limit of the server's: it may be a commit that waits for its standby.
Whoever is gone is noticed while a statement of theirs waits for a lock.
"""


def parameters(url: str, purpose: str, attributes: str) -> dict[str, Any]:
    """Return how a connection is made, beside its address; what that says itself goes before.

    Parameters
    ----------
    url
        The address.
    purpose
        What the server calls the connection.
    attributes
        Which of several hosts will do: ``target_session_attrs``, whatever the address says.
    """
    given = conninfo_to_dict(url)
    usual = {name: value for name, value in _USUAL.items() if name not in given}
    return {
        **usual,
        "application_name": purpose,
        "client_encoding": "UTF8",  # of a database without one, texts would come as bytes
        "target_session_attrs": attributes,
    }


def cut(connection: psycopg.Connection[Any]) -> None:
    """Shut a connection's socket down: whoever waits for it fails now. From any thread.

    Nothing is cancelled: a commit that was cancelled would be seen on this server, and missed on its standby.
    """
    # A second descriptor: the first stays libpq's to close.
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as shut:
        shut.shutdown(socket.SHUT_RDWR)
