#!/usr/bin/env bash
# safetensors 0.8.0 (with numpy 2.4.6, Python 3.11), seen 2026-11-29:
# `safe_open` in a process that has no file descriptor left says that the file does not exist. It is there, and
# plain `open` says what is wrong. So whoever takes "not found" or a failed read for a missing or damaged
# model, and falls back to an older one, does so because too many connections were open for a moment.
#
# Seen:
#   safe_open: FileNotFoundError: No such file or directory: .../model.safetensors (errno None), the file exists: True
#   open: OSError 24
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$work/venv/bin/python" - "$work/model.safetensors" <<'PYTHON'
import os, resource, sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

path = sys.argv[1]
save_file({"weights": np.ones(4, np.float32)}, path)
with safe_open(path, framework="numpy") as file:  # with descriptors left it can be read
    assert file.get_tensor("weights").sum() == 4

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
said = there = None
try:
    safe_open(path, framework="numpy").__enter__()
except Exception as error:
    said, there = error, os.path.exists(path)
plain = None
try:
    os.open(path, os.O_RDONLY)
except OSError as error:
    plain = error.errno
for one in taken:
    os.close(one)
print(f"safe_open: {type(said).__name__}: {said} (errno {getattr(said, 'errno', None)}), the file exists: {there}")
print(f"open: OSError {plain}")
assert isinstance(said, FileNotFoundError) and said.errno is None and there and plain == 24, "it behaves otherwise now"
PYTHON
