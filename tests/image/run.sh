#!/usr/bin/env bash
# Builds the image from the Dockerfile and runs its own command: a click goes in, a prediction comes out, and a stop and a
# start later it is the same. Needs root, some minutes and 4 GB of disk, but no Docker engine: Debian's buildah builds, on
# a base image made of Debian's own packages under the name that the Dockerfile asks for.
#
#   tests/image/run.sh [WORK]     WORK keeps the base image for the next time (default: a temporary directory, removed)
#
# pip finds packages in the build as it does on this machine.
set -euo pipefail
exec </dev/null
root=$(cd "$(dirname "$0")/../.." && pwd)
base=docker.io/library/$(sed -n 's/^FROM \(\S*\) AS build$/\1/p' "$root/Dockerfile")
port=${PORT:-18000}
url=http://127.0.0.1:$port

for package in buildah debootstrap curl; do
  command -v "$package" >/dev/null || apt-get install -qq --no-install-recommends "$package"
done

work=${1:-$(mktemp --directory)}
keep=${1:+yes}
mkdir -p "$work"
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

server=
own_process() { # the image's own process is the last descendant
  local process=$server child
  while child=$(cat "/proc/$process/task/"*/children) && child=${child%% *} && [[ -n $child ]]; do process=$child; done
  echo "$process"
}
stop() { # as an engine does it: SIGTERM to the image's own process
  [[ -n $server ]] || return 0
  local leaving=$server
  kill "$(own_process)"
  server=
  wait "$leaving"
}
leave() {
  stop || true
  buildah rm --all >/dev/null
  if [[ -z $keep ]]; then rm -rf "$work"; fi
}
trap leave EXIT

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  echo "== making $base of Debian's packages"
  rm -rf "$work/base"
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates trixie "$work/base" >"$work/base.log"
  ln -s /usr/bin/python3 "$work/base/usr/local/bin/python"
  # What the slim image of Python does not have either.
  rm -rf "$work/base"/var/cache/apt "$work/base"/var/lib/apt/lists "$work/base"/usr/share/{doc,locale,man}
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$work/base" / >/dev/null
  buildah commit --quiet --rm "$container" "$base" >/dev/null
  rm -rf "$work/base"
fi

echo '== building'
certificates=/etc/ssl/certs/ca-certificates.crt
{
  echo '[global]'
  python3 -m pip config list |
    sed -nE "s/^(global|:env:)\.(index-url|extra-index-url|trusted-host|proxy|cert|default-timeout)='(.*)'$/\2 = \3/p" | sort -u
} >"$work/pip.conf"
buildah build --format docker --quiet --pull-never --tag nonzero --secret "id=pip.conf,src=$work/pip.conf" \
  --volume "$certificates:$certificates:ro" "$root" >/dev/null

echo '== running'
container=$(buildah from --pull-never nonzero)
files=$(buildah mount "$container")
megabytes=$(du --summarize --block-size=MB --one-file-system "$files" | sed 's/MB.*//')
echo "$megabytes MB in the image"
((megabytes <= 450)) || { echo 'that is more than 450 MB' >&2; exit 1; }
[[ -z $(find "$files/opt" -path '*-packages/numba' -o -path '*-packages/llvmlite' -o -path '*/native/build') ]]
settings() { buildah inspect "$container" | python3 -c "import json, sys; print(*json.load(sys.stdin)['Docker']['config']$1, sep='\n')"; }
mapfile -t command < <(settings "['Cmd']")
mapfile -t health < <(settings "['Healthcheck']['Test'][1:]")
rm -rf "$work/data"
install --directory --owner=10001 --group=10001 --mode=0750 "$work/data"
in_image() {
  buildah run --volume "$work/data:/data" --mount type=tmpfs,dst=/tmp --env "NONZERO_PORT=$port" --env NONZERO_ALLOW_OPEN=on --cap-drop ALL "$container" -- "$@"
}
start() {
  local since=$EPOCHREALTIME
  in_image "${command[@]}" >"$work/log" 2>&1 &
  server=$!
  until curl --silent --fail --output /dev/null "$url/readyz"; do
    [[ -e /proc/$server ]] || { cat "$work/log" >&2; exit 1; }
    sleep 0.02
  done
  python3 -c "print(f'ready after {$EPOCHREALTIME - $since:.2f} s')"
}
post() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$url/v1/models/default/$1"
}

touch "$work/before"
start
in_image "${health[@]}"
post update '{"features": {"site": "news", "bid": 0.5}, "label": 1}'; echo
before=$(post predict '{"features": {"site": "news", "bid": 0.5}}')
[[ -z $(ls -A "/proc/$(own_process)/root/tmp") ]]
stop
start
after=$(post predict '{"features": {"site": "news", "bid": 0.5}}')
stop

echo "$after"
[[ $after == "$before" ]] || { echo "before the stop it was $before" >&2; exit 1; }
[[ $after == *probability* ]]
written=$(find "$files" -xdev -newer "$work/before" -type f)
[[ -z $written ]] || { echo "written outside the data volume: $written" >&2; exit 1; }
echo '== the image serves, keeps what it learned, and writes nowhere but to its volume and /tmp'
