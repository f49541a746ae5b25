"""Where files are: paths of this machine, and URLs of object stores and web servers."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")
_LOCAL: Final = "file"
_MAGIC: Final = re.compile(r"[*?\[]")


class Remote:
    """A file at a URL: ``s3://bucket/key``, ``https://host/path``, or of another kind that fsspec knows.

    Nothing is asked of the store when it is made.

    Parameters
    ----------
    url
        The URL.
    info
        What the store has said of the file, where it has been asked: its size, and what tells its version.

    Attributes
    ----------
    scheme
        What the URL begins with, in small letters.

    Examples
    --------
    >>> print(Remote("https://example.com/day.csv?X-Amz-Signature=c2VjcmV0"))
    https://example.com/day.csv
    """

    def __init__(self, url: str, info: dict[str, Any] | None = None) -> None:
        found = _URL.match(url)
        if found is None:
            raise ValueError(f"{url} is no URL")
        self.url = url
        self.info = info
        self.scheme = found[1].lower()

    def __str__(self) -> str:
        """Return the URL without what may be secret: a name and a password, and what signs it."""
        scheme, _, rest = self.url.partition("://")
        if self.is_web:
            rest = re.split(r"[?#]", rest, maxsplit=1)[0]
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"

    def __repr__(self) -> str:
        return f"Remote({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def is_web(self) -> bool:
        """Whether it is read from a web server, whose URLs may have a query."""
        return self.scheme in {"http", "https"}

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(str(self).partition("://")[2]).name

    @property
    def bucket(self) -> str:
        """What is behind the scheme: a bucket, or a server."""
        return str(self).partition("://")[2].partition("/")[0]

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for several files; ``?`` begins a query in the URL of a web server."""
        found = _MAGIC.search(self.url)
        return not self.is_web and found is not None

    def with_name(self, name: str) -> Remote:
        """Return the file of another name beside this one."""
        return Remote(f"{self.url.rpartition('/')[0]}/{name}")

    def joined(self, name: str) -> Remote:
        """Return a file below this place, as if it were a folder."""
        return Remote(f"{self.url.rstrip('/')}/{name}")


Place: TypeAlias = Path | Remote
"""A file of this machine, or one at a URL."""

Named: TypeAlias = str | Remote
"""A file as an argument names it: as it was given, or as a store has listed it."""


def is_url(name: object) -> bool:
    """Tell whether a name is a URL.

    Parameters
    ----------
    name
        What was given.

    Examples
    --------
    >>> is_url("s3://logs/day.csv"), is_url("logs/day.csv"), is_url(Path("/logs"))
    (True, False, False)
    """
    return isinstance(name, str) and _URL.match(name) is not None


def place_of(name: str | os.PathLike[str] | Remote) -> Place:
    """Return where a file is that is given by its name.

    Parameters
    ----------
    name
        A path, or a URL; ``file://`` is a path of this machine.

    Examples
    --------
    >>> place_of("s3://logs/day.csv"), place_of("file:///logs/day.csv")
    (Remote('s3://logs/day.csv'), PosixPath('/logs/day.csv'))
    """
    if isinstance(name, Remote):
        return name
    text = os.fspath(name)
    found = _URL.match(text) if isinstance(name, str) else None
    if found is None:
        return Path(text)
    if found[1].lower() == _LOCAL:
        return Path(unquote(text[found.end() :]))
    return Remote(text)
