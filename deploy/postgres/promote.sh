#!/usr/bin/env bash
# Makes this standby the primary, in the environment of start.sh. The one before it does not start any more, unless it is made anew.
set -euo pipefail
pg_ctl promote --wait --silent --pgdata="${PGDATA:?}"
echo "${NAME:?}" >"${SHARED:?}/the-primary.new"
mv "$SHARED/the-primary.new" "$SHARED/the-primary"
echo "$NAME is the primary now, and waits for no standby. See to it that the one before it does not run" >&2
