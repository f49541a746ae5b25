"""The handshake of two nodes: both show that they know the secret of the term, and never the secret itself.

::

    who follows                                             who writes
    HELLO   magic, protocol, purpose, session, nonce   -->
                                                       <--  REPLY   magic, protocol, verdict, nonce, proof
    PROOF   HMAC-SHA256                                -->
                                                       <--  WELCOME one byte

Each proof is over both nonces and over all that was said before, and says which side made it: so none can be
used again, elsewhere, or by the other side. Magic and protocol have the same place in every release, so that
any two can say which of them is the older one. What follows the handshake is neither encrypted nor signed:
docs/decisions/passing-on.md says what that asks of the network.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import socket
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from nonzero_service.errors import HandshakeError, NotYetWritingError

PROTOCOL: Final = 1
"""Of the handshake and of all messages behind it. A change of any of these is a new number."""

SECONDS: Final = 2.0
"""How long a handshake may take."""

MAGIC: Final = b"nonzero\n"

FIRST: Final = struct.Struct("!8sI")
"""Magic and protocol: what all releases begin with, in both directions."""
HELLO: Final = struct.Struct("!B16s32s")
REPLY: Final = struct.Struct("!B32s32s")
PROOF_BYTES: Final = 32
NONCE_BYTES: Final = 32
WELCOME: Final = b"+"

UNPROVEN: Final = "it does not know this term's secret"
NO_NODE: Final = "what it says is not what nodes say"
TOO_SLOW: Final = "it was silent in the middle of the handshake"


class Purpose(IntEnum):
    """What a connection is for."""

    BEATS = 1
    """Signs of life."""
    REQUESTS = 2


class Verdict(IntEnum):
    """Whether the other node goes on."""

    GO_ON = 0
    NOT_WRITING = 1


class Hello(NamedTuple):
    """What a node says of a connection that it has made."""

    purpose: Purpose
    session: bytes
    """16 bytes: which connections belong together."""


def _proof(secret: bytes, side: bytes, said: bytes) -> bytes:
    return hmac.new(secret, side + b"\0" + said, hashlib.sha256).digest()


async def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes of a socket that does not block, and no more.

    Raises
    ------
    HandshakeError
        Where it ends before.
    """
    loop, found = asyncio.get_running_loop(), b""
    while len(found) < count:
        piece = await loop.sock_recv(sock, count - len(found))
        if not piece:
            raise HandshakeError("it has closed the connection in the middle of the handshake")
        found += piece
    return found


async def introduce(sock: socket.socket, secret: bytes, hello: Hello, node: str) -> None:
    """Begin a connection to the node that writes.

    Parameters
    ----------
    sock
        The connected socket, which does not block.
    secret
        The term's.
    hello
        What the connection is for.
    node
        The name of who writes, for errors.

    Raises
    ------
    HandshakeError
        Where it does not let this node in; it says why, and what to do.
    OSError
        Where the connection fails.
    """
    loop, nonce = asyncio.get_running_loop(), secrets.token_bytes(NONCE_BYTES)
    asked = FIRST.pack(MAGIC, PROTOCOL) + HELLO.pack(hello.purpose, hello.session, nonce)
    await loop.sock_sendall(sock, asked)
    begin = await receive_exactly(sock, FIRST.size)
    magic, protocol = FIRST.unpack(begin)
    if magic != MAGIC:
        raise HandshakeError(
            f"what listens at the address of the node {node!r} is none; see its --node-address"
        )
    if protocol != PROTOCOL:
        older = f"the node {node!r}, which writes," if protocol < PROTOCOL else "this node"
        raise HandshakeError(
            f"{older} is of an older release: the one speaks protocol {min(protocol, PROTOCOL)}, the other "
            f"{max(protocol, PROTOCOL)}; bring it up to date, or ask the node {node!r} itself"
        )
    rest = await receive_exactly(sock, REPLY.size)
    verdict, theirs, proof = REPLY.unpack(rest)
    if verdict == Verdict.NOT_WRITING:
        raise NotYetWritingError(f"the node {node!r} does not write, or not yet")
    said = asked + begin + bytes((verdict,)) + theirs
    if not hmac.compare_digest(proof, _proof(secret, b"writes", said)):
        raise HandshakeError(
            f"the node {node!r} does not know the secret of its term; this one may be behind"
        )
    await loop.sock_sendall(sock, _proof(secret, b"follows", said + proof))
    if await receive_exactly(sock, len(WELCOME)) != WELCOME:
        raise HandshakeError(f"the node {node!r} does not let this one in")


async def welcome(sock: socket.socket, secret: bytes | None) -> Hello:
    """Let another node in; return what it says of the connection.

    Parameters
    ----------
    sock
        The socket, which does not block.
    secret
        The term's; None where this node does not write.

    Raises
    ------
    HandshakeError
        Where it is not let in.
    OSError
        Where the connection fails.
    """
    loop = asyncio.get_running_loop()
    begin = await receive_exactly(sock, FIRST.size)
    magic, protocol = FIRST.unpack(begin)
    if magic != MAGIC:
        raise HandshakeError(NO_NODE)
    first = FIRST.pack(MAGIC, PROTOCOL)
    if protocol != PROTOCOL:
        await loop.sock_sendall(sock, first)
        age = "an older" if protocol < PROTOCOL else "a newer"
        raise HandshakeError(f"it is of {age} release, of protocol {protocol}, and this one's is {PROTOCOL}")
    rest = await receive_exactly(sock, HELLO.size)
    purpose, session, _ = HELLO.unpack(rest)
    if purpose not in Purpose.__members__.values():
        raise HandshakeError(NO_NODE)
    if secret is None:
        await loop.sock_sendall(
            sock, first + REPLY.pack(Verdict.NOT_WRITING, bytes(NONCE_BYTES), bytes(PROOF_BYTES))
        )
        raise NotYetWritingError("this node does not write")
    nonce = secrets.token_bytes(NONCE_BYTES)
    said = begin + rest + first + bytes((Verdict.GO_ON,)) + nonce
    proof = _proof(secret, b"writes", said)
    await loop.sock_sendall(sock, first + REPLY.pack(Verdict.GO_ON, nonce, proof))
    if not hmac.compare_digest(
        await receive_exactly(sock, PROOF_BYTES), _proof(secret, b"follows", said + proof)
    ):
        raise HandshakeError(UNPROVEN)
    await loop.sock_sendall(sock, WELCOME)
    return Hello(Purpose(purpose), session)
