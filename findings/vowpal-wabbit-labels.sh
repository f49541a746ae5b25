#!/usr/bin/env bash
# Vowpal Wabbit 9.11.9 (its Python package, Python 3.11), seen 2026-11-29:
# a label is read as far as it is a number, and nothing is said of the rest. So a word such as `1x`, and a line of
# another label type such as a contextual bandit's `1:2:0.5`, are learned from as label 1, where a reader would
# expect the line to be refused or a warning.
#
# Seen (line -> label, weight):
#   1x | a -> 1.0 1.0
#   1:2:0.5 | a -> 1.0 1.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check vowpalwabbit==9.11.9
"$work/venv/bin/python" - <<'PYTHON'
import vowpalwabbit

workspace = vowpalwabbit.Workspace("--quiet --loss_function logistic")
found = []
for line in ("1x | a", "1:2:0.5 | a"):
    example = workspace.example(line)
    found.append((example.get_simplelabel_label(), example.get_simplelabel_weight()))
    print(line, "->", *found[-1])
    workspace.finish_example(example)
assert found == [(1.0, 1.0), (1.0, 1.0)], "it behaves otherwise now"
PYTHON
