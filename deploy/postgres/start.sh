#!/usr/bin/env bash
# A PostgreSQL server for journals. A directory that is empty is made first: a primary's, or with FOLLOWS a standby's. What a
# directory has become it stays, whatever FOLLOWS says later: a standby that was promoted starts again as a primary.
#
#   NAME         what it is called by others
#   PGDATA       its directory
#   PGPASSFILE   the passwords of the roles replicator and nonzero: see secrets.sh
#   SHARED       a folder that both servers have: it says which of them is the primary
#   FOLLOWS      HOST:PORT of the primary, for a standby
#   SYNCHRONOUS  the NAME of the standby that a primary waits for; only its making reads it
#   PGPORT       its port (5432)
#   ADDRESSES    of this machine, where it listens (all)
#   SOCKETS      where its own user finds it (/var/run/postgresql)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${NAME:?}" "${PGDATA:?}" "${PGPASSFILE:?}" "${SHARED:?}"
# A standby's name is its cluster_name: no connection string has to say it.
server=(-c "config_file=$here/postgresql.conf" -c "hba_file=$here/pg_hba.conf" -c "cluster_name=$NAME")

make_primary() { # FOLDER
  # Texts are compared byte by byte: a standby on another system then has the same order.
  initdb --pgdata="$1" --username="$(id -un)" --encoding=UTF8 --no-locale --data-checksums --auth=reject
  local sockets status=0
  sockets=$(mktemp -d)
  pg_ctl start --pgdata="$1" --silent --wait \
    --options="$(printf '%q ' "${server[@]}" -c listen_addresses= -c "unix_socket_directories=$sockets")"
  # Passwords go by the environment: arguments are there for all to see.
  REPLICATOR=$(sed -n 's/^.*:replicator://p' "$PGPASSFILE") NONZERO=$(sed -n 's/^.*:nonzero://p' "$PGPASSFILE") \
    psql --host="$sockets" --dbname=postgres --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set="synchronous=${SYNCHRONOUS-}" <<'SQL' || status=$?
\getenv replicator REPLICATOR
\getenv nonzero NONZERO
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator';
-- pg_monitor: it sees which standbys there are, and how far they have come.
CREATE ROLE nonzero LOGIN PASSWORD :'nonzero' IN ROLE pg_monitor;
CREATE DATABASE nonzero OWNER nonzero;
-- Not in postgresql.conf: the standby has that too, and is to wait for nobody when it is promoted.
ALTER SYSTEM SET synchronous_standby_names = :'synchronous';
SQL
  pg_ctl stop --pgdata="$1" --silent --wait --mode=fast
  rm -r "$sockets"
  return "$status"
}

make_standby() { # FOLDER
  local from="host=${FOLLOWS%:*} port=${FOLLOWS##*:} user=replicator passfile=$PGPASSFILE"
  until pg_basebackup --pgdata="$1" --dbname="$from" --checkpoint=fast --wal-method=stream --write-recovery-conf --no-password; do
    rm -rf "$1"
    sleep 1
  done
  echo "synchronous_standby_names = ''" >>"$1/postgresql.auto.conf" # of what stands there twice the last holds
}

primary=$(cat "$SHARED/the-primary" 2>/dev/null || true)
trap 'exit 1' INT TERM # a making that is broken off is begun anew; a server has ways of its own
refused() { # WHY
  echo "$NAME is not started: $1. See docs/cluster.md, \"When the primary is lost\"" >&2
  exit 1
}
if [[ ! -e $PGDATA/PG_VERSION ]]; then
  # What was begun and not finished never stands where a server would be started on it.
  rm -rf "$PGDATA.new"
  mkdir -p "$(dirname "$PGDATA")"
  if [[ ${FOLLOWS-} ]]; then
    make_standby "$PGDATA.new"
  elif [[ $primary ]]; then
    refused "$primary is the primary, and $PGDATA is empty; have it FOLLOW the other server"
  else
    make_primary "$PGDATA.new"
  fi
  if [[ -d $PGDATA ]]; then rmdir "$PGDATA"; fi
  mv "$PGDATA.new" "$PGDATA"
fi
# Two primaries would be two journals. The one that was passed over is the database no more, whatever it still holds.
if [[ ! -e $PGDATA/standby.signal && ! $primary ]]; then
  echo "$NAME" >"$SHARED/the-primary"
elif [[ ! -e $PGDATA/standby.signal && $primary != "$NAME" ]]; then
  refused "$primary has taken its place. Make it anew, from that"
fi
exec postgres -D "$PGDATA" "${server[@]}" -c "listen_addresses=${ADDRESSES:-*}" \
  -c "unix_socket_directories=${SOCKETS:-/var/run/postgresql}"
