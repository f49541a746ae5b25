#!/usr/bin/env bash
# PostgreSQL 15.18 (Debian 12's server), psycopg 3.3.9 (Python 3.11), seen 2026-11-30:
# A commit that waits for a synchronous standby is cancelled: by a statement's cancel, as any time limit of a client sends it.
# It is not undone. The row is there for all to read, no standby has it, and who looks for an error finds none: the
# statement's status is success, and a WARNING says what happened. psycopg gives that to a handler of notices, of which there
# is none by default; `execute` returns. With asyncio the other way round: `asyncio.wait_for` cancels by itself, its caller is
# told TimeoutError, and the row is there too. So neither "it returned" nor "it was cancelled" says what a failover keeps.
#
# Seen (the standby that is waited for does not exist):
#   execute, cancelled: INSERT 0 1; SQLSTATE 01000 canceling wait for synchronous replication due to user request
#   wait_for of 0.5 s: TimeoutError
#   others read: ['cancelled', 'timed out']
set -euo pipefail
work=$(mktemp -d)
bin=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort --version-sort | tail -n 1)")
mkdir "$work/server"
as=()
if ((EUID == 0)); then # which PostgreSQL refuses
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chmod 755 "$work"
  chown postgres "$work/server"
fi
leave() {
  "${as[@]}" "$bin/pg_ctl" stop --silent --mode=immediate --pgdata="$work/server/data" || true
  rm -rf "$work"
}
trap leave EXIT
cd /
"$bin/postgres" --version
"${as[@]}" "$bin/initdb" --auth=trust --username=postgres --no-sync --pgdata="$work/server/data" >/dev/null
"${as[@]}" "$bin/pg_ctl" start --silent --wait --pgdata="$work/server/data" --log="$work/server/log" \
  --options="-c listen_addresses= -c unix_socket_directories=$work/server -c synchronous_standby_names=elsewhere"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check psycopg==3.3.9 psycopg-binary==3.3.9
"$work/venv/bin/python" - "host=$work/server user=postgres" <<'PYTHON'
import asyncio
import sys
import threading
import time

import psycopg

address = sys.argv[1]
INSERT = "INSERT INTO kept VALUES (%s)"
with psycopg.connect(address, autocommit=True) as other:
    other.execute("SET synchronous_commit = local")
    other.execute("CREATE TABLE kept (name text)")

    notices = []
    with psycopg.connect(address, autocommit=True) as connection:
        connection.add_notice_handler(lambda said: notices.append(f"SQLSTATE {said.sqlstate} {said.message_primary}"))
        pid = connection.info.backend_pid

        def cancel():
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
            while not other.execute(waiting, [pid]).fetchone()[0]:
                time.sleep(0.01)
            other.execute("SELECT pg_cancel_backend(%s)", [pid])

        thread = threading.Thread(target=cancel)
        thread.start()
        status = connection.execute(INSERT, ["cancelled"]).statusmessage
        thread.join()
    print(f"execute, cancelled: {status}; {notices[0]}")

    async def timed_out():
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
            try:
                await asyncio.wait_for(connection.execute(INSERT, ["timed out"]), 0.5)
            except TimeoutError:
                return "TimeoutError"

    raised = asyncio.run(timed_out())
    print(f"wait_for of 0.5 s: {raised}")
    found = [name for [name] in other.execute("SELECT name FROM kept ORDER BY name")]
    print(f"others read: {found}")
    standbys = other.execute("SELECT count(*) FROM pg_stat_replication").fetchone()[0]
assert standbys == 0
assert status == "INSERT 0 1" and notices[0].startswith("SQLSTATE 01000"), "it behaves otherwise now"
assert raised == "TimeoutError" and found == ["cancelled", "timed out"], "it behaves otherwise now"
PYTHON
