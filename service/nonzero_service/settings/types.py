"""The types of settings, each with the check of its values."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field

from nonzero.model.table import MAX_BITS

MAX_SLICED_FIELDS: Final = 8
"""So many fields may have slices."""

HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


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

FieldNames = Annotated[str, AfterValidator(_few)]
"""Names of fields, separated by commas: those that have slices."""

Retention = Literal["snapshots", "all"]
"""Which rows a journal keeps: those after the older of two snapshots, or all."""

Recalibrating = Literal["off", "shadow", "on"]
"""Whether a map of the predictions is learned, and whether it is used."""
