#!/usr/bin/env bash
# httpx 0.28.1 (with h11 0.16.0, Python 3.11), seen 2026-11-30:
# a header's value that HTTP does not allow is shown by the exception, that of `Authorization` too, although httpx hides
# it wherever else it prints headers. So a token that was read from a file with its line end is in the log of whoever
# logs the exception. Expected: the name of the header, and not its value.
#
# Seen:
#   LocalProtocolError: Illegal header value b'Bearer secret-token\n'
#   UnicodeEncodeError: 'ascii' codec can't encode character '\xe9' ..., whose `object` is 'Bearer s\xe9cret'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 h11==0.16.0
"$work/venv/bin/python" - <<'PYTHON'
import socket

import httpx

server = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{server.getsockname()[1]}"
found = []
for token in ("secret-token\n", "s\xe9cret"):
    request = {"headers": {"Authorization": f"Bearer {token}"}, "trust_env": False}
    try:
        httpx.get(url, **request)
    except (httpx.LocalProtocolError, UnicodeEncodeError) as error:
        found.append(error)
        print(f"{type(error).__name__}: {error}")
assert "secret-token" in str(found[0]) and found[1].object == "Bearer s\xe9cret", "it behaves otherwise now"
PYTHON
