"""The types of settings, each with the check of its values."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr

from nonzero.model.table import MAX_BITS
from nonzero.sources.places import Remote, is_url, place_of

MAX_SLICED_FIELDS: Final = 8
"""So many fields may have slices."""

HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")

NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

POSTGRESQL: Final = ("postgresql://", "postgres://")
"""How the address of a journal begins."""


def split(text: str) -> list[str]:
    """Return the parts of text that are separated by commas, without those that are empty."""
    return [part.strip() for part in text.split(",") if part.strip()]


@lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_truth(value: Any) -> Any:
    """Refuse true and false, which are numbers to Python."""
    if isinstance(value, bool):
        raise ValueError(f"it is {str(value).lower()}; give a number")
    return value


def _large_enough(size: ByteSize) -> ByteSize:
    if size < 1024:
        raise ValueError("a size is at least 1KiB")
    return size


def _are_hosts(hosts: str) -> str:
    for name in split(hosts):
        if not _is_host(name):
            raise ValueError(
                f"{name!r} is no name or address of a host, without scheme, port and path; "
                "such are example.com, 10.0.0.5 and [fd00::5]"
            )
    return hosts


def _is_host(name: str) -> bool:
    """Whether it is a name or an address, without a port."""
    try:
        return bool(HOST_NAME.fullmatch(name) or ipaddress.IPv6Address(name.strip("[]")))
    except ValueError:
        return False


def _is_journal(url: SecretStr) -> SecretStr:
    """Refuse another kind of address; what it is may hold a password, and is not repeated."""
    if not url.get_secret_value().startswith(POSTGRESQL):
        raise ValueError(
            "it is the address of a database of PostgreSQL, such as postgresql://user@host/database; "
            "what was given begins otherwise"
        )
    return url


def _is_store(url: str) -> str:
    """Refuse what is no place that can be written to, before anything is asked of it."""
    if not is_url(url) or not isinstance(place := place_of(url), Remote) or place.is_web:
        raise ValueError(f"{url!r} is no place in an object store; give one such as s3://bucket/prefix")
    return url.rstrip("/")


def _is_node(name: str) -> str:
    if not NODE_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a node: 63 letters, digits, dots, hyphens and underscores at most, "
            "such as a or node-1"
        )
    return name


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of HOST:PORT; of an IPv6 address without its brackets.

    Raises
    ------
    ValueError
        Where it is none.
    """
    host, _, port = address.rpartition(":")
    bracketed = host[:1] == "[" and host[-1:] == "]"
    fits = _is_host(host) and bracketed == (":" in host)
    if not fits or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, such as 10.0.0.5:8100 or [fd00::5]:8100")
    return host.strip("[]"), int(port)


def _is_address(address: str) -> str:
    split_address(address)
    return address


def _few(fields: str) -> str:
    if (n := len(fields.split(","))) > MAX_SLICED_FIELDS:
        raise ValueError(f"{fields!r} are {n} fields; name {MAX_SLICED_FIELDS} at most")
    return fields


NoTruth: Final = BeforeValidator(_no_truth)

Bits = Annotated[int, NoTruth, Field(ge=1, le=MAX_BITS)]
"""log2 of the number of slots of a model's table."""

LearningRate = Literal["auto"] | Annotated[float, NoTruth, Field(gt=0, le=1000, allow_inf_nan=False)]
"""``"auto"`` is eight lanes, mixed; a number is one AdaGrad lane with that rate."""

Size = Annotated[ByteSize, AfterValidator(_large_enough)]
"""A number of bytes, or text such as ``64MiB``."""

Switch = Literal["on", "off"]

HostNames = Annotated[str, AfterValidator(_are_hosts)]
"""Names and addresses of hosts, separated by commas."""

JournalUrl = Annotated[SecretStr, AfterValidator(_is_journal)]
"""The address of a database of PostgreSQL. It may hold a password, so that nothing shows it."""

StoreUrl = Annotated[str, AfterValidator(_is_store)]
"""The URL of a place in an object store."""

NodeName = Annotated[str, AfterValidator(_is_node)]
"""What a node of a cluster is called."""

NodeAddress = Annotated[str, AfterValidator(_is_address)]
"""HOST:PORT, where a node listens for others."""

FieldNames = Annotated[str, AfterValidator(_few)]
"""Names of fields, separated by commas: those that have slices."""

Retention = Literal["snapshots", "all"]
"""Which rows a journal keeps: those after the older of two snapshots, or all."""

Recalibrating = Literal["off", "shadow", "on"]
"""Whether a map of the predictions is learned, and whether it is used."""
