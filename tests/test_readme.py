"""What the README shows is what happens: its blocks run; a text or JSON block is what was just printed."""

import json
import re
from pathlib import Path

import pytest

from blocks import Reader, blocks_of
from command_line import nonzero
from real_data import real_data

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FIGURES = re.findall(r"^\| `(\S+)`.*? \| ([\d,]+) \| ([\d.]+) \|", README.read_text(), re.MULTILINE)
ELSEWHERE = {
    "make run\n",  # by test_make.py
    "make test\n",  # it is what runs this
    "docker compose up\n",  # the image is built and run by image/run.sh
}


def test_every_block_does_what_the_readme_shows(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for language, text in blocks_of(README):
            # What the console shows of click logs, test_click_logs.py runs.
            if text not in ELSEWHERE and language != "console":
                reader.read(language, text)
        assert reader.service


@pytest.mark.parametrize(("name", "examples", "log_loss"), FIGURES)
def test_the_figures_are_what_training_prints(
    name: str, examples: str, log_loss: str, tmp_path: Path
) -> None:
    done = nonzero("train", real_data(name), "--json", "--model", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert f"{summary['examples']:,}" == examples
    assert f"{summary['log_loss']:.5f}" == log_loss
