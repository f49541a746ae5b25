"""Clients of services on this machine, without TLS."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx

from waiting import SECONDS

__all__ = ["client_of"]

TRUSTING_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Otherwise each client would read all the world's certificates, which takes longer than many a test."""


def client_of(url: str, **settings: Any) -> httpx.Client:
    """Return a client of a service that is spoken to without TLS."""
    return httpx.Client(
        base_url=url, verify=TRUSTING_NOBODY, **{"timeout": SECONDS, "trust_env": False} | settings
    )
