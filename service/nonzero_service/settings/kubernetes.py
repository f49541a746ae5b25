"""Variables of the environment that begin as settings do, and are put there by Kubernetes.

For a Service named ``nonzero``, or ``nonzero-writer``, every container finds ``NONZERO_SERVICE_HOST``,
``NONZERO_SERVICE_PORT``, ``NONZERO_PORT=tcp://10.0.0.1:8000``, ``NONZERO_PORT_8000_TCP_ADDR`` and the like.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

PORT: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")
"""The value of a service's ``_PORT``: no number, as a setting would have."""

OF_SERVICE: Final = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
"""What follows a service's name."""


def service_links(environment: Mapping[str, str], prefix: str) -> frozenset[str]:
    """Return the variables that tell of services whose names begin with a prefix.

    A service is known by its address, or by its port, which are written as nobody writes a setting.

    Parameters
    ----------
    environment
        Names and values.
    prefix
        What the names begin with, such as ``NONZERO_``.

    Returns
    -------
    frozenset of str
        Names.
    """
    named = {name: value for name, value in environment.items() if name.startswith(prefix)}
    services = {
        name.removesuffix("_PORT")
        for name, value in named.items()
        if name.endswith("_PORT") and PORT.fullmatch(value)
    } | {
        name.removesuffix("_SERVICE_HOST")
        for name, value in named.items()
        if name.endswith("_SERVICE_HOST") and _is_address(value)
    }
    found = {
        name
        for name, value in named.items()
        for service in services
        if name.startswith(service) and OF_SERVICE.fullmatch(name[len(service) :])
        if name != f"{service}_PORT" or PORT.fullmatch(value)
    }
    return frozenset(found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
