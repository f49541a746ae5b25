"""What the process that started the service is told, where that is systemd: ready, stopping."""

from __future__ import annotations

import os
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def tell_systemd(state: str) -> None:
    """Send systemd a state by the socket that it names in ``NOTIFY_SOCKET``; without that, do nothing.

    The protocol (``sd_notify(3)``) is one datagram: too little for a library.

    Parameters
    ----------
    state
        :data:`READY` or :data:`STOPPING`.

    Raises
    ------
    OSError
        Where nobody listens at that socket.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # a name beside the file system
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # nothing waits for who does not read
        sender.sendto(state.encode(), address)
