"""Vowpal Wabbit reads lines: ``python vowpal_reads.py LINES HEADS``.

Standard output is its audit, two lines an example. HEADS gets label, weight, initial prediction and tag.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

OPTIONS = "--audit --testonly --hash all --bit_precision 24 --noconstant --quiet --loss_function logistic"


def main(lines: str, heads: str) -> None:
    import vowpalwabbit  # here, because only the environment of `make soak` has it

    workspace = vowpalwabbit.Workspace(OPTIONS)
    found = []
    for line in Path(lines).read_bytes().split(b"\n")[:-1]:
        example = workspace.example(line.decode())
        found.append(
            (
                example.get_simplelabel_label(),
                example.get_simplelabel_weight(),
                example.get_simplelabel_initial(),
                example.get_tag(),
            )
        )
        workspace.predict(example)
        workspace.finish_example(example)
    workspace.finish()
    Path(heads).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
