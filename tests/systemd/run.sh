#!/usr/bin/env bash
# Has systemd itself run deploy/systemd/nonzero.service, on a machine that has nothing but this one's /usr: it starts and is
# ready, learns, is started again after a kill, comes back with what it had learned, and stops. Installs the wheel of
# `make dist`. Takes a minute; needs root, systemd-nspawn and a Python of the system's.
#
#   tests/systemd/run.sh [PYTHON]     the interpreter (default: /usr/bin/python3)
set -euo pipefail
exec </dev/null
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${1:-/usr/bin/python3}
wheel=$(echo "${DIST:-$root/dist}"/nonzero_ctr-*.whl)
[[ -e $wheel ]] || { echo 'There is nothing to install: make dist' >&2; exit 1; }
command -v systemd-nspawn >/dev/null || apt-get install -qq --no-install-recommends systemd-container

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

echo '== installing'
"$python" -m venv "$work/nonzero"
"$work/nonzero/bin/python" -m pip --quiet --disable-pip-version-check install "$wheel[service]"
sed -i '1s|.*|#!/opt/nonzero/bin/python|' "$work/nonzero/bin/nonzero" # it stands there below
install -m 600 /dev/stdin "$work/tokens" <<<'admin a-token-of-this-test'
mkdir "$work/out"

cat >"$work/try" <<'END'
set -euo pipefail
ask() {
  curl --silent --show-error --fail-with-body --header 'Authorization: Bearer a-token-of-this-test' --header 'Content-Type: application/json' \
    --data '{"features": {"site": "news", "bid": 0.5}, "label": 1}' "http://127.0.0.1:8000/v1/models/default/$1"
}
same() { [[ $(ask predict) == "$learned" ]] || { echo "before it was $learned" >&2; exit 1; }; }
property() { systemctl show nonzero --property "$1" --value; }

curl --silent --fail http://127.0.0.1:8000/readyz && echo
ask update && echo
learned=$(ask predict)
process=$(property MainPID)
grep --extended-regexp '^(Uid|CapEff|NoNewPrivs|Seccomp):' "/proc/$process/status"
[[ $(stat --format '%U %a' /var/lib/nonzero) == 'nonzero 700' ]]

echo 'it is killed'
kill -KILL "$process"
until [[ $(property ActiveState) == active && $(property MainPID) != "$process" ]]; do sleep 0.1; done
[[ $(property NRestarts) == 1 ]]
same
echo 'it is started again'
systemctl restart nonzero
same
echo 'it is stopped'
systemctl stop nonzero
[[ $(property Result) == success ]]
echo done
END
cat >"$work/try.service" <<'END'
[Unit]
Wants=nonzero.service
After=nonzero.service
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
StandardOutput=file:/mnt/log
StandardError=inherit
ExecStart=/bin/bash /opt/try
ExecStopPost=/bin/sh -c 'journalctl --unit nonzero --output cat >/mnt/journal'
END

echo '== running'
units=/etc/systemd/system
options=()
bind() { options+=("--bind-ro=$1:$2"); }
bind "$root/deploy/systemd/nonzero.service" $units/nonzero.service
bind "$root/deploy/systemd/nonzero.sysusers" /etc/sysusers.d/nonzero.conf
bind "$root/deploy/systemd/nonzero.env" /etc/nonzero/nonzero.env
bind "$work/tokens" /etc/nonzero/tokens
bind "$work/nonzero" /opt/nonzero
bind "$work/try" /opt/try
bind "$work/try.service" $units/try.service
# The one asks who is at the keyboard, the other waits two minutes for a network.
bind /dev/null $units/systemd-firstboot.service
bind /dev/null $units/systemd-networkd-wait-online.service
timeout 300 systemd-nspawn --quiet --directory / --volatile=yes --private-network --register=no --keep-unit \
  "${options[@]}" --bind="$work/out:/mnt" --boot systemd.unit=try.service >"$work/boot" 2>&1 || true
cat "$work/out/log" || { tail -n 40 "$work/boot" >&2; exit 1; }
[[ $(tail -n 1 "$work/out/log") == done ]] || { cat "$work/out/journal" >&2; exit 1; }
echo "== $(systemctl --version | head -n 1) runs the unit"
