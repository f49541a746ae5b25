#!/usr/bin/env bash
# PostgreSQL 15.18 (Debian 12's server), psycopg 3.3.9 (Python 3.11), seen 2026-11-30:
# With synchronous_commit=remote_apply a commit waits until the standby shows it. One reader of the standby that has left a
# transaction open stops that for all: as soon as the primary truncates or drops the table that was read (or vacuum frees what
# it might still see), the standby's replay waits for the reader, for max_standby_streaming_delay (30 s by default), and so does
# every commit on the primary, to whatever table. Nothing on the primary names the reader: its sessions wait for SyncRep, as they
# do when a network is slow. psycopg opens such a transaction by a first SELECT, unless autocommit is asked for. The manual says that
# replay waits; that a reader of a standby can thus stop the primary's writers is left to be concluded.
#
# Seen (max_standby_streaming_delay is 3 s here):
#   a commit: 0.0 s
#   a commit to another table, behind a truncation: 3.0 s
#   the reader, then: SQLSTATE 40001
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
  for name in standby primary; do
    if [[ -d $work/server/$name ]]; then "${as[@]}" "$bin/pg_ctl" stop --silent --mode=immediate --pgdata="$work/server/$name" || true; fi
  done
  rm -rf "$work"
}
trap leave EXIT
cd /
"$bin/postgres" --version
"${as[@]}" "$bin/initdb" --auth=trust --username=postgres --no-sync --pgdata="$work/server/primary" >/dev/null
start() { # NAME: on a socket of its own
  mkdir -p "$work/server/at-$1"
  if ((EUID == 0)); then chown postgres "$work/server/at-$1"; fi
  "${as[@]}" "$bin/pg_ctl" start --silent --wait --pgdata="$work/server/$1" --log="$work/server/$1.log" \
    --options="-c listen_addresses= -c unix_socket_directories=$work/server/at-$1 -c cluster_name=$1 -c max_standby_streaming_delay=3s"
}
start primary
"${as[@]}" "$bin/pg_basebackup" --write-recovery-conf --checkpoint=fast --no-sync --pgdata="$work/server/standby" \
  --dbname="host=$work/server/at-primary user=postgres"
start standby
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check psycopg==3.3.9 psycopg-binary==3.3.9
"$work/venv/bin/python" - "$work/server" <<'PYTHON'
import sys
import time

import psycopg

place = sys.argv[1]


def connect(name, **options):
    return psycopg.connect(f"host={place}/at-{name} user=postgres", **options)


with connect("primary", autocommit=True) as primary, connect("standby") as reader:
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    primary.execute("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
    primary.execute("SELECT pg_reload_conf()")
    while primary.execute("SELECT sync_state FROM pg_stat_replication").fetchone() != ("sync",):
        time.sleep(0.01)
    primary.execute("CREATE TABLE read AS SELECT 1 AS one")
    primary.execute("CREATE TABLE other (one integer)")

    def commit():
        started = time.monotonic()
        primary.execute("INSERT INTO other VALUES (1)")
        return time.monotonic() - started

    quick = commit()
    print(f"a commit: {quick:.1f} s")
    assert reader.execute("SELECT one FROM read").fetchone() == (1,)  # and then it does something else
    with connect("primary") as cleaner:
        cleaner.execute("SET synchronous_commit = local")  # it waits for nobody itself
        cleaner.execute("TRUNCATE read")
    behind = commit()
    print(f"a commit to another table, behind a truncation: {behind:.1f} s")
    state = None
    try:
        reader.execute("SELECT 1")
    except psycopg.Error as error:
        state = error.sqlstate
    print(f"the reader, then: SQLSTATE {state}")
assert quick < 1 and behind > 2, "it behaves otherwise now"
PYTHON
