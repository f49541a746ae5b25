#!/usr/bin/env bash
# Makes passwords, where there are none yet, as files that libpq reads (PGPASSFILE). libpq passes over a file that its group or
# others may read, without failing: so each reader has one of its own.
#
#   secrets.sh FOLDER OWNER FOLDER OWNER     what the servers read (all roles), what the nodes read (the role nonzero)
#
# The servers' folder becomes their own: they note there which of them is the primary.
set -euo pipefail
umask 077
servers=$1/pgpass nodes=$3/pgpass

written() { # FILE OWNER: what comes from stdin is the file, whole or not at all
  cat >"$1.new"
  chown "$2" "$1.new"
  mv "$1.new" "$1"
}
password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

chown "$2" "$1"
if [[ ! -e $servers ]]; then
  for role in replicator nonzero; do echo "*:*:*:$role:$(password)"; done | written "$servers" "$2"
fi
if [[ ! -e $nodes ]]; then
  grep ':nonzero:' "$servers" | written "$nodes" "$4"
fi
