#!/usr/bin/env bash
# Vowpal Wabbit 9.11.9 (Python package, Python 3.11), seen 2026-11-30:
# `--readable_model` writes `slot:weight` lines, as its documentation shows, and scripts read the two. With the
# default update rule a line has the state of the rule behind the weight too, two numbers more, in a file that says
# nothing of them in its head; `--predict_only_model` gives the documented form. Who splits a line at its colon gets
# one text of three numbers.
#
# Seen:
#   alone: 3 numbers a line
#   with --predict_only_model: 1 number a line
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check vowpalwabbit==9.11.9
printf '1 | site=news\n-1 | site=shop\n' >"$work/log.vw"
numbers() {
  "$work/venv/bin/python" -m vowpalwabbit --quiet --loss_function logistic --data "$work/log.vw" --readable_model "$work/model" "$@"
  # Behind the head, a line is a slot, a colon and numbers.
  grep --extended-regexp '^[0-9]+:' "$work/model" | head -1 | cut -d: -f2 | wc -w
}
echo "alone: $(numbers) numbers a line"
echo "with --predict_only_model: $(numbers --predict_only_model) number a line"
[ "$(numbers)" = 3 ] && [ "$(numbers --predict_only_model)" = 1 ] || { echo "it behaves otherwise now" >&2; exit 1; }
