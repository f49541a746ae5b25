"""Object stores and web servers, as fsspec has them."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from nonzero.sources.places import Place, Remote
from nonzero.sources.store_errors import StoreError, explained, is_missing, said

_INSTALL: Final = "pip install 'nonzero-ctr[files]'"
_OTHERS: Final = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs"}
"""What reads stores that the extra has nothing for."""

_OF_THE_EXTRA: Final = {"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp"}

_S3: Final = frozenset(("s3", "s3a"))

CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 60
"""So long a web server may be silent within an answer."""


class MissingStoreError(StoreError):
    """The package that reads files at URLs is not installed."""


def filesystem(place: Remote) -> tuple[Any, str]:
    """Return fsspec's file system for a place, and the place's path in it.

    Credentials, endpoints and proxies are found as the libraries do it: environment, profiles, fsspec's own
    configuration.

    Parameters
    ----------
    place
        The place.

    Raises
    ------
    MissingStoreError
        Where a package is missing; it says how to get it.
    StoreError
        For a URL that no package reads.
    """
    fsspec = _imported(place)
    try:
        options: dict[str, Any] = {}
        if place.is_web:
            options = {"client_kwargs": _web_options(place.scheme)}
        elif place.scheme in _S3:  # what a listing told a while ago is not what is there now
            options = {"use_listings_cache": False}
        files, path = fsspec.core.url_to_fs(place.url, **options)
        return files, str(path)
    except ImportError as error:
        package = _OTHERS.get(place.scheme)
        way = f"pip install {package}" if package else _INSTALL
        package = package or _OF_THE_EXTRA.get(place.scheme) or error.name or "a package"
        raise MissingStoreError(f"{place} needs {package}, which is not installed: {way}") from error
    except ValueError as error:
        if "not known" not in str(error).lower():
            raise said(place, error) from error
        raise StoreError(
            f"{place}: files of {place.scheme}:// cannot be read; give s3://, gs://, https:// or a path"
        ) from error


def _imported(place: Remote) -> Any:
    """Return fsspec, imported when the first URL is given."""
    try:
        import fsspec.core
    except ModuleNotFoundError as error:
        raise MissingStoreError(
            f"{place} is a URL, and reading it needs fsspec, which is not installed: {_INSTALL}"
        ) from error
    return fsspec


@cache
def _web_options(scheme: str) -> dict[str, Any]:
    """Return how a web server is spoken to: bytes as they are stored, no bound on the whole of a file."""
    import aiohttp
    import fsspec.config

    configured = fsspec.config.conf.get(scheme, {}).get("client_kwargs", {})
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return {"auto_decompress": False, "trust_env": True, "timeout": limits, **configured}


def found_by(place: Remote) -> list[Remote]:
    """Return the files that a pattern stands for, with what the store says of each.

    Parameters
    ----------
    place
        The pattern: ``*`` within a name, ``**`` any folders.

    Raises
    ------
    StoreError
        Where the store does not say.
    """
    with explained(place):
        files, pattern = filesystem(place)
        found = files.glob(pattern, detail=True)
        return [
            Remote(files.unstrip_protocol(name), info)
            for name, info in found.items()
            if info.get("type") != "directory" and not name.endswith("/")
        ]


def is_there(place: Place) -> bool:
    """Tell whether there is a file, or anything else, at a place.

    Parameters
    ----------
    place
        Where to look.

    Raises
    ------
    StoreError
        Where the store does not say.
    """
    if not isinstance(place, Remote):
        return place.exists()
    with explained(place):
        files, path = filesystem(place)
        try:
            return bool(files.info(path).get("type") != "directory")
        except Exception as error:
            if is_missing(error):
                return False
            raise
