#!/usr/bin/env bash
# PostgreSQL 15.18 (Debian 12's server), psycopg 3.3.9 (Python 3.11), seen 2026-11-30:
# `to_regclass` says that a table is not there, which a SELECT of the same transaction finds in pg_class. A session that has
# looked once remembers that there was none, and an advisory lock does not make it look again. So the usual way of making
# tables once fails: look; where there is nothing take an advisory lock, look again behind it, make them. Who waited for
# the lock is told again that there is nothing, and fails with "schema already exists". With a synchronous standby, whose
# answer the first one waits for while it has the lock, two programs that start together nearly always meet so.
#
# Seen (by who waited for the lock, in this order):
#   to_regclass: None
#   pg_class: 1
#   to_regclass: made.once
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
  --options="-c listen_addresses= -c unix_socket_directories=$work/server"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check psycopg==3.3.9 psycopg-binary==3.3.9
"$work/venv/bin/python" - "host=$work/server user=postgres" <<'PYTHON'
import sys
import threading
import time

import psycopg

address = sys.argv[1]
LOOK = "SELECT to_regclass('made.once')::text"
found = []
with psycopg.connect(address) as first, psycopg.connect(address, autocommit=True) as second:
    assert second.execute(LOOK).fetchone() == (None,)
    first.execute("SELECT pg_advisory_xact_lock(1)")
    first.execute("CREATE SCHEMA made")
    first.execute("CREATE TABLE made.once (one integer)")

    def behind_the_lock():
        with second.transaction():
            second.execute("SELECT pg_advisory_xact_lock(1)")
            for what, query in (
                ("to_regclass", LOOK),
                ("pg_class", "SELECT count(*) FROM pg_class WHERE relname = 'once'"),
                ("to_regclass", LOOK),
            ):
                found.append(second.execute(query).fetchone()[0])
                print(f"{what}: {found[-1]}")

    waiting = threading.Thread(target=behind_the_lock)
    waiting.start()
    with psycopg.connect(address, autocommit=True) as other:
        while other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0] == 0:
            time.sleep(0.01)
    first.commit()
    waiting.join()
assert found == [None, 1, "made.once"], "it behaves otherwise now"
PYTHON
