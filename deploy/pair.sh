#!/usr/bin/env bash
# Two nodes on this machine, a at http://127.0.0.1:8000 and b at :8001, and PostgreSQL below them: a primary and its synchronous
# standby. What they keep is in nonzero-pair. Ctrl-C ends all. Needs PostgreSQL 15 or newer, of which nothing has to run.
#
#   PLACE=folder   another folder        PORT=9000   this port and the five after it: nodes, servers, and the nodes' own talk
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
place=$(mkdir -p "${PLACE:-nonzero-pair}" && cd "${PLACE:-nonzero-pair}" && pwd)
port=${PORT:-8000}
nonzero=${NONZERO:-$here/../.venv/bin/nonzero}
primary=$((port + 2)) standby=$((port + 3))

programs=$(command -v postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort --version-sort | tail -n 1 || true)
if [[ ! $programs ]]; then
  echo 'PostgreSQL is not installed. On Debian and Ubuntu: apt-get install postgresql' >&2
  exit 1
fi
export PATH=$PATH:${programs%/*}

# PostgreSQL refuses to run as root.
owner=$(id -un) as=()
if ((EUID == 0)); then
  owner=postgres as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chmod 755 "$place"
fi
install --directory --owner="$owner" --mode=700 "$place/servers"
install --directory --mode=700 "$place/nodes"
# Copies: the source may stand where that user cannot go.
install --directory "$place/postgresql"
install "$here"/postgres/* "$place/postgresql"
"$place/postgresql/secrets.sh" "$place/servers" "$owner" "$place/nodes" "$(id -un)"
if ! "${as[@]}" test -x "$place/postgresql/start.sh"; then
  echo "The user $owner, who runs PostgreSQL, cannot enter $place: name another folder by PLACE" >&2
  exit 1
fi

# Each has a session of its own, so that Ctrl-C reaches nobody but this script: it ends the nodes before their database.
server() { # NAME PORT [FOLLOWS]; its socket is in the folder servers, named so that no path is too long for one
  cd /
  NAME=$1 PGPORT=$2 FOLLOWS=${3-} SYNCHRONOUS=standby PGDATA=$place/servers/$1 ADDRESSES=127.0.0.1 SOCKETS=.. \
    SHARED=$place/servers PGPASSFILE=$place/servers/pgpass exec setsid "${as[@]}" "$place/postgresql/start.sh"
}
journal=postgresql://nonzero@127.0.0.1:$primary,127.0.0.1:$standby/nonzero
node() { # NAME PORT NODE_PORT
  PGPASSFILE=$place/nodes/pgpass exec setsid "$nonzero" serve --node "$1" --port "$2" --node-address "127.0.0.1:$3" \
    --data-dir "$place/nodes/$1" --journal "$journal"
}
ended() {
  trap '' INT TERM
  local process
  for process in "${nodes[@]}"; do kill -TERM "$process" 2>/dev/null || true; done
  for process in "${nodes[@]}"; do wait "$process" || true; done
  # TERM ends what is being made, and has a server take no more sessions; INT ends those that are left.
  for process in "${servers[@]}"; do kill -TERM -- "-$process" 2>/dev/null || true; done
  sleep 0.5
  for process in "${servers[@]}"; do kill -INT -- "-$process" 2>/dev/null || true; done
  for process in "${servers[@]}"; do wait "$process" || true; done
}
nodes=() servers=()
trap ended EXIT
trap 'exit 0' INT TERM

server primary "$primary" >>"$place/primary.log" 2>&1 &
servers+=($!)
server standby "$standby" "127.0.0.1:$primary" >>"$place/standby.log" 2>&1 &
servers+=($!)
echo "PostgreSQL: a primary on port $primary, its standby on $standby; their logs are $place/primary.log and standby.log" >&2
ready() { PGPASSFILE=$place/nodes/pgpass pg_isready --quiet --host=127.0.0.1 --port="$1" --username=nonzero --dbname=nonzero; }
until ready "$primary" && ready "$standby"; do
  for process in "${servers[@]}"; do
    if ! kill -0 "$process" 2>/dev/null; then
      tail -n 3 "$place/primary.log" "$place/standby.log" >&2
      exit 1
    fi
  done
  sleep 0.2
done
node a "$port" $((port + 4)) &
nodes+=($!)
echo "Node a is process $!, at http://127.0.0.1:$port" >&2
node b $((port + 1)) $((port + 5)) &
nodes+=($!)
echo "Node b is process $!, at http://127.0.0.1:$((port + 1)). Kill one of them: the other goes on" >&2
echo "To start a again: PGPASSFILE=$place/nodes/pgpass $nonzero serve --node a --port $port" \
  "--node-address 127.0.0.1:$((port + 4)) --data-dir $place/nodes/a --journal $journal" >&2
echo "How they are: PGPASSFILE=$place/nodes/pgpass $nonzero cluster status --journal $journal" >&2
wait "${nodes[@]}"
