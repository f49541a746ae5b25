#!/usr/bin/env bash
# river 0.26.1 (with numpy 2.4.6, Python 3.11), seen 2026-11-30:
# `clone` fails for an estimator that has an empty tuple for a parameter: it looks at the first item of any tuple to
# see whether it is a class. An empty tuple is the usual default of what may be several, because a default should not
# be a list; and river's own check of defaults, `check_init_default_params_are_not_mutable`, allows tuples. All that
# clones fails with it: `check_estimator`, pipelines' `clone`, model selection.
#
# Seen:
#   names=('a',) is cloned: ('a',)
#   names=() : IndexError: tuple index out of range
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check river==0.26.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
from river import base


class Named(base.Transformer):
    """A transformer with names."""

    def __init__(self, names=()):
        self.names = names

    def transform_one(self, x):
        return x


print(f"names=('a',) is cloned: {Named(('a',)).clone().names}")
said = None
try:
    Named().clone()
except Exception as error:
    said = error
print(f"names=() : {type(said).__name__}: {said}")
assert isinstance(said, IndexError), "it behaves otherwise now"
PYTHON
