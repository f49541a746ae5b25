#!/usr/bin/env bash
# Vowpal Wabbit 9.11.9 (its Python package, Python 3.11), seen 2026-11-29:
# its text reader keeps eight bits of an exponent, and says nothing. So `f:1e200`, a value that is merely large,
# is read as none and its feature vanishes, and `f:1e-130`, which is nearly 0, is read as infinity. A namespace
# of weight 0 with a value beyond float32 gives a feature that is not a number.
#
# Seen (value that is read):
#   f:1e200 -> no feature
#   f:1e-130 -> inf
#   |a:0 f:1e39 -> nan
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check vowpalwabbit==9.11.9
"$work/venv/bin/python" - <<'PYTHON'
import vowpalwabbit

workspace = vowpalwabbit.Workspace("--quiet --noconstant --loss_function logistic")


def values(line):
    example = workspace.example(line)
    found = [value for _, value in example.iter_features()]
    workspace.finish_example(example)
    return found


huge, tiny, zero = values("1 |a f:1e200"), values("1 |a f:1e-130"), values("1 |a:0 f:1e39")
print("f:1e200 ->", huge or "no feature")
print("f:1e-130 ->", *tiny)
print("|a:0 f:1e39 ->", *zero)
assert values("1 |a f:2.5") == [2.5]
assert huge == [] and tiny == [float("inf")] and len(zero) == 1 and zero[0] != zero[0], "it behaves otherwise now"
PYTHON
