"""What object stores and web servers refuse, in a sentence with the way out and nothing secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from nonzero.errors import NonzeroError
from nonzero.sources.places import Remote

_S3: Final = frozenset(("s3", "s3a"))
_AWAY: Final = (408, 429, 500, 502, 503, 504)
"""What a server answers that may answer otherwise in a while."""

_OVERLOADED: Final = frozenset(
    (
        "SlowDown",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "Throttling",
        "RequestLimitExceeded",
    )
)
_UNANSWERED: Final = frozenset((
    "TimeoutError", "ConnectionError", "ClientConnectionError", "ClientPayloadError", "HTTPClientError",
    "IncompleteReadError", "ResponseParserError",
))  # fmt: skip
"""The kinds of exceptions of which no answer came, or a part of one."""

_CERTIFICATES: Final = frozenset(("SSLCertVerificationError", "SSLError"))

_QUERY: Final = re.compile(r"\?[^\s'\"<>)]*")


class StoreError(NonzeroError):
    """An object store, or a web server, that refuses a file, or does not answer.

    Examples
    --------
    >>> from nonzero import StoreError
    >>> from nonzero.sources.files import Source
    >>> try:
    ...     Source("gopher://example.com/day.csv")
    ... except StoreError as error:
    ...     print(error)
    gopher://example.com/day.csv: files of gopher:// cannot be read; give s3://, gs://, https:// or a path
    """


class ChangedError(StoreError):
    """A file was replaced in its store while it was read."""


@contextmanager
def explained(place: Remote) -> Iterator[None]:
    """Say what a store has refused within the block, in a sentence with the way out.

    Parameters
    ----------
    place
        What was asked for.

    Raises
    ------
    StoreError
        In place of what fsspec and its packages raise.
    """
    try:
        yield
    except (StoreError, KeyboardInterrupt, GeneratorExit):
        raise
    except Exception as error:
        raise said(place, error) from error


def passes(error: BaseException) -> bool:
    """Tell whether a store may answer otherwise in a while."""
    status, code = _status_of(error), _code_of(error)
    if status is not None:
        return status in _AWAY
    if code:
        return code in _OVERLOADED or (code.isdecimal() and int(code) in _AWAY)
    kinds = _kinds_of(error)
    return bool(_UNANSWERED & kinds) and not _CERTIFICATES & kinds


def is_missing(error: BaseException) -> bool:
    """Tell whether an error says that there is no such file; an answer that says more is another."""
    status, code = _status_of(error), _code_of(error)
    if status is not None:
        return status in (404, 410)
    if code:
        return code in {"404", "NoSuchKey", "NoSuchVersion"}
    return isinstance(error, FileNotFoundError) and not _UNANSWERED & _kinds_of(error)


def said(place: Remote, error: BaseException) -> StoreError:
    """Return what an error says of a place, in a sentence with the way out, without anything secret.

    Parameters
    ----------
    place
        What was asked for.
    error
        What was raised by fsspec, or by what it is made of.
    """
    status, code, kinds = _status_of(error), _code_of(error), _kinds_of(error)
    if "FileExpired" in kinds or code in {"PreconditionFailed", "412"} or status == 412:
        return changed(place)
    if is_missing(error):
        return StoreError(f"there is no file {place}")
    reason = _REASONS.get(code) or next((_REASONS[kind] for kind in _REASONS if kind in kinds), None)
    if reason is None and (status in (401, 403) or code in {"401", "403"} or "PermissionError" in kinds):
        reason = _forbidden
    if reason is not None:
        return StoreError(f"{place}{reason(place)}")
    what = f"answered {status or code}" if status or code else f"did not answer ({_unanswered(error)})"
    if passes(error):
        endpoint = (
            ", or see that AWS_ENDPOINT_URL_S3 and AWS_DEFAULT_REGION are right"
            if place.scheme in _S3
            else ""
        )
        return StoreError(f"{place}: the store {what}, and again when asked again; try later{endpoint}")
    if code or status:
        return StoreError(f"{place} cannot be had: the store {what}; look at what it says of it itself")
    if place.scheme in _S3 and "Invalid endpoint" in str(error):
        return StoreError(
            f"{place}: what AWS_ENDPOINT_URL_S3 names is no URL; give one such as https://HOST:PORT"
        )
    if "non key-like path" in str(error):
        return StoreError(f"{place} is a bucket; give its files, such as '{place.joined('*.parquet')}'")
    text = _QUERY.sub("", str(error).replace(place.url, str(place)))
    return StoreError(f"{place} cannot be had: {type(error).__name__} {text}; look at the URL")


def changed(place: Remote) -> ChangedError:
    """Return the error that says that a file is no longer the one that was opened."""
    return ChangedError(f"{place} was replaced while it was read; read it again")


def _no_bucket(place: Remote) -> str:
    return (
        f": there is no bucket {place.bucket}; name another, or say by AWS_ENDPOINT_URL_S3 where the store is"
    )


def _credentials(place: Remote) -> str:
    if place.scheme not in _S3:
        return "give them as the store's own tools have them"
    return (
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for what anybody may read, "
        "FSSPEC_S3_ANON=true"
    )


def _none_found(place: Remote) -> str:
    return f": no credentials were found; {_credentials(place)}"


def _no_profile(_: Remote) -> str:
    return ": the profile that AWS_PROFILE names is not in the files of credentials; name one that is"


def _expired(_: Remote) -> str:
    return ": the credentials have expired; get new ones, and run this again"


def _unknown_key(place: Remote) -> str:
    return f": the store does not know the access key; {_credentials(place)}"


def _wrong_secret(place: Remote) -> str:
    return f": the secret key is not that of the access key; {_credentials(place)}"


def _wrong_clock(_: Remote) -> str:
    return ": the clock of this machine is wrong, and the store refuses it; set it"


def _untrusted(place: Remote) -> str:
    name = "AWS_CA_BUNDLE" if place.scheme in _S3 else "SSL_CERT_FILE"
    return f": nobody who is trusted has signed its certificate; name a file of those that are by {name}"


def _elsewhere(_: Remote) -> str:
    return " is in another region; name it by AWS_DEFAULT_REGION"


def _forbidden(place: Remote) -> str:
    if place.scheme in _S3:
        return (
            " is forbidden; the credentials need s3:GetObject for it to be read, s3:PutObject to be written, "
            "s3:DeleteObject to be removed, and s3:ListBucket for patterns and to tell what is not there"
        )
    if place.is_web:
        return " is forbidden; a signed link may have run out: get a new one"
    return " is forbidden; look at what the credentials may do"


_REASONS: Final[Mapping[str, Callable[[Remote], str]]] = {
    "NoSuchBucket": _no_bucket,
    "NoCredentialsError": _none_found,
    "PartialCredentialsError": _none_found,
    "DefaultCredentialsError": _none_found,
    "ProfileNotFound": _no_profile,
    "ExpiredToken": _expired,
    "ExpiredTokenException": _expired,
    "TokenRefreshRequired": _expired,
    "UnauthorizedSSOTokenError": _expired,
    "TokenRetrievalError": _expired,
    "SSOTokenLoadError": _expired,
    "RefreshError": _expired,
    "InvalidAccessKeyId": _unknown_key,
    "InvalidToken": _unknown_key,
    "SignatureDoesNotMatch": _wrong_secret,
    "RequestTimeTooSkewed": _wrong_clock,
    "SSLCertVerificationError": _untrusted,
    "SSLError": _untrusted,
    "PermanentRedirect": _elsewhere,
    "301": _elsewhere,  # what is asked for without its bytes is answered without a code
    "AuthorizationHeaderMalformed": _elsewhere,
    "IllegalLocationConstraintException": _elsewhere,
    "AccessDenied": _forbidden,
}
"""By S3's codes and the names of exceptions."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from: packages hide what was answered behind errors of files."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _kinds_of(error: BaseException) -> set[str]:
    return {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}


def _unanswered(error: BaseException) -> str:
    """Return the name of what went wrong where no answer came: packages say that such a file is missing."""
    names = (
        type(one).__name__ for one in _chain(error) if _UNANSWERED & {k.__name__ for k in type(one).__mro__}
    )
    return next(names, type(error).__name__)


def _status_of(error: BaseException) -> int | None:
    """Return what a web server answered."""
    for one in _chain(error):
        status = getattr(one, "status", None)
        if isinstance(status, int):
            return status
    return None


def _code_of(error: BaseException) -> str:
    """Return the code by which S3 says why."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""
