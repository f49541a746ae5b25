#!/bin/sh
# Start a command of the image with kernels that are ready.
#
# The kernels were compiled when the image was built, for a CPU that nearly every machine of today has, and are loaded
# from where they are. On an older CPU they are compiled anew for that one and kept in /tmp, which takes the first start
# half a minute.
set -eu

has_baseline() {
  flags=" $(grep -m 1 '^flags' /proc/cpuinfo) "
  for flag in abm avx2 bmi1 bmi2 f16c fma movbe; do
    case $flags in *" $flag "*) ;; *) return 1 ;; esac
  done
}

if [ -z "${NUMBA_CPU_NAME:-}" ]; then
  case $(uname -m) in
    x86_64) if has_baseline; then export NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES=; fi ;;
    *) export NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES= ;;
  esac
fi

export NONZERO_CACHE_DIR="${NONZERO_CACHE_DIR:-/opt/nonzero/kernels}"
exec "$@"
