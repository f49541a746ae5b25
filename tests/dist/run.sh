#!/usr/bin/env bash
# Installs what `make dist` made as its users do, by pip, with the newest of what it requires, and tries it: the wheel alone, with
# each extra, from the sdist, and the client. Takes some minutes and 2 GB of disk, which are free again afterwards.
#
#   tests/dist/run.sh [PYTHON]     the interpreter (default: python3)
set -euo pipefail
exec </dev/null
here=$(cd "$(dirname "$0")" && pwd)
dist=$(cd "$here/../../dist" && pwd) || { echo 'There is nothing to install: make dist' >&2; exit 1; }
python=${1:-python3}
(cd "$dist" && sha256sum --check --quiet SHA256SUMS)
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
cd "$work"

environment() { # NAME REQUIREMENT
  "$python" -m venv "$1"
  "$1/bin/python" -m pip --quiet --disable-pip-version-check install "$2"
}

environment client "$(echo "$dist"/nonzero_client-*.whl)"
export CLIENT=$work/client/bin/python
for part in bare service arrow onnx sklearn river; do
  extra=[$part]
  environment "$part" "$(echo "$dist"/nonzero_ctr-*.whl)${extra#\[bare\]}"
  "$part/bin/python" -I "$here/installed.py" "$part"
  rm -rf "$part"
done
echo 'from the sdists, which compiles the kernels anew'
environment client-source "$(echo "$dist"/nonzero_client-*.tar.gz)"
CLIENT=$work/client-source/bin/python
environment service-source "$(echo "$dist"/nonzero_ctr-*.tar.gz)[service]"
service-source/bin/python -I "$here/installed.py" service
echo "What is in dist works, on $("$python" --version)"
