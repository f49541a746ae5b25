"""RequestParser: the requests in a connection's bytes (HTTP/1.1, RFC 9112).

It reads with llhttp. Where a client offers another protocol, and between the bodies that are received past
it, it goes on with a new one.
"""

from __future__ import annotations

from typing import Protocol

import httptools

from nonzero_service.http.head import framing_of, too_large, unreadable
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings


class RequestSink(Protocol):
    """What is told of the requests that are found."""

    def on_head_begun(self) -> None:
        """Take it that something of a head has come."""

    def on_head(
        self, method: bytes, version: str, url: bytes, headers: list[tuple[bytes, bytes]], lasting: bool
    ) -> bool:
        """Take a head.

        Parameters
        ----------
        method, version, url, headers
            As they came; the names of headers in lower case.
        lasting
            Whether the head lets the connection last.

        Returns
        -------
        bool
            Whether another request may follow.

        Raises
        ------
        Problem
            Where it is none that is answered.
        """

    def on_body(self, body: bytes, /) -> None:
        """Take a part of a body."""

    def on_end(self) -> None:
        """Take the end of a request."""


class RequestParser:
    """Finds requests in bytes.

    Parameters
    ----------
    sink
        What is told of them.
    settings
        How large a head may be.
    """

    def __init__(self, sink: RequestSink, settings: Settings) -> None:
        self._sink = sink
        self._settings = settings
        self._in_head = False
        self._offered = False  # whether another protocol is offered, and the parser reads no further
        self._lasting = True
        self._unframed = 0  # bytes that were neither a whole head nor body
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self.renew()

    def renew(self) -> None:
        """Begin anew: the bytes up to the end of a request were taken by somebody else."""
        self._parser: httptools.HttpRequestParser = httptools.HttpRequestParser(self)
        # What follows a request with `Connection: close` is passed over, and no error of the request before.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def close(self) -> None:
        """Read no more: this and llhttp's parser hold each other."""
        del self._parser

    @property
    def reads_on(self) -> bool:
        """Whether what follows a body in chunks is read: llhttp heeds a trailer that says to close."""
        return self._parser.should_keep_alive()

    def feed(self, data: bytes) -> None:
        """Take bytes.

        Raises
        ------
        Problem
            Where they are no request, or none that is answered.
        """
        self._unframed += len(data)
        rest: bytes | memoryview = data
        try:
            while rest:
                try:
                    self._parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    rest = memoryview(rest)[upgrade.args[0] :]
                    self._pass_over_offer()
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise cause if isinstance(cause, Problem) else unreadable(error) from None
        if self._unframed > self._settings.max_header_bytes:
            raise too_large(self._settings)

    def _pass_over_offer(self) -> None:
        """Go on behind the last head as if it had offered no other protocol.

        A server may ignore the offer (RFC 9110, section 7.8), but the parser takes what follows for the other
        protocol's. So another one is given a head that frames the same body; of that nobody hears.
        """
        self.renew()
        self._parser.feed_data(framing_of(self._headers, last=not self._lasting))

    # -- from llhttp -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._offered:
            return
        self._in_head = True
        self._url = b""
        self._headers = []
        self._sink.on_head_begun()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a body in chunks (a trailer) is nobody's."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hand a head on."""
        if self._offered:
            self._offered = False
            return
        parser = self._parser
        self._in_head = False
        self._offered = parser.should_upgrade()
        self._lasting = self._sink.on_head(
            parser.get_method(),
            parser.get_http_version(),
            self._url,
            self._headers,
            parser.should_keep_alive(),
        )
        self._unframed = 0

    def on_body(self, body: bytes) -> None:
        """Hand a part of a body on."""
        self._unframed = 0
        self._sink.on_body(body)

    def on_message_complete(self) -> None:
        """Hand the end of a request on."""
        if self._offered:  # llhttp passes over the body
            return
        self._unframed = 0
        self._sink.on_end()
