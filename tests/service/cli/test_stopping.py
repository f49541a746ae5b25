"""Ctrl-C and SIGTERM at every stage: what was kept is told and true, and nothing is left that was not."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import numpy as np
import pytest

from command_line import COMMAND, nonzero_here
from disks import fill
from nonzero import LogisticRegression, formats
from service.cli.stopped import REACHED, Stopped, started, stopped_at
from waiting import until

SIGNALS = [signal.SIGINT, signal.SIGTERM]
ROWS = 12_000
LINES = [
    f"{1 if k % 3 == 0 else -1} |site s{k % 97} |ad a{k % 1013} {'x' * 230}{k % 7}\n" for k in range(ROWS)
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of several blocks of a megabyte, and a model."""
    place = tmp_path_factory.mktemp("logs")
    (place / "log.vw").write_text("".join(LINES))
    rows = "".join(f"s{k % 97},a{k % 1013},{'x' * 230}{k % 7},{int(k % 3 == 0)}\n" for k in range(ROWS))
    (place / "log.csv").write_text("site,ad,more,click\n" + rows)
    assert nonzero_here("train", place / "log.vw", "--bits=10", "--model", place / "model").returncode == 0
    return place


@pytest.fixture
def place(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    for name in ("log.vw", "log.csv", "model"):
        os.link(logs / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(done: Stopped) -> str:
    """Return what is said of the stop, by a process that has ended as it should."""
    assert done.returncode == 130, done
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("nonzero: stopped: ")
    return last.removeprefix("nonzero: stopped: ")


def there(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} - {"log.vw", "log.csv", "model"}


@pytest.mark.parametrize("number", SIGNALS)
def test_train_keeps_what_it_has_learned_under_a_name_that_says_so(place: Path, number: int) -> None:
    done = stopped_at(place, "learning", "train", "log.vw", "--bits=12", "--model=new", nth=2, number=number)
    found = re.fullmatch(
        r"([\d,]+) examples were learned, as far as line ([\d,]+) of log.vw, and saved as new.partial, which "
        r"--from goes on from; new is not there",
        told(done),
    )
    assert found is not None
    examples, lines = (int(text.replace(",", "")) for text in found.groups())
    assert 3_000 < examples == lines < ROWS
    assert done.stdout == ""
    assert there(place) == {"new.partial"}
    half, whole = LogisticRegression(bits=12), LogisticRegression(bits=12)
    half.learn(formats.parse("".join(LINES[:lines]).encode(), "vw"))
    whole.learn(formats.parse("".join(LINES).encode(), "vw"))
    assert LogisticRegression.load("new.partial").digest() == half.digest()
    Path("rest.vw").write_text("".join(LINES[lines:]))
    assert nonzero_here("train", "rest.vw", "--from=new.partial", "--model=new").returncode == 0
    assert LogisticRegression.load("new").digest() == whole.digest()


def test_names_of_before_are_not_taken_and_models_of_before_stay(place: Path) -> None:
    Path("new.partial").write_text("of before")
    before = Path("model").read_bytes()
    done = stopped_at(place, "learning", "train", "log.vw", "--from=model", "--model=model", nth=2)
    assert "saved as model.partial, which --from goes on from; model is as it was" in told(done)
    assert Path("model").read_bytes() == before
    then = LogisticRegression.load("model.partial").examples
    done = stopped_at(place, "learning", "train", "log.vw", "--bits=10", "--model=new", nth=1)
    assert "saved as new.partial-2" in told(done)
    assert Path("new.partial").read_text() == "of before"
    assert ROWS < then < 2 * ROWS


def test_what_cannot_be_kept_is_told(place: Path, small_disk: Path) -> None:
    """The disk has room for the smallest model, and is full when this one is to be saved."""
    fill(small_disk / "ballast")
    os.truncate(small_disk / "ballast", (small_disk / "ballast").stat().st_size - (128 << 10))
    save = ("--bits=20", "--model", small_disk / "new")
    said = told(stopped_at(place, "learning", "train", "log.vw", *save, nth=2))
    assert said.endswith(f"that cannot be saved beside {small_disk}/new: No space left on device")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_each_model_that_is_tried_is_kept_or_the_best_one(place: Path) -> None:
    tries = ("--bits=10", "--try=learning-rate=0.001", "--try=learning-rate=0.5")
    done = stopped_at(place, "reading", "train", "log.vw", *tries, "--model=m{n}", nth=2)
    assert "saved as m1.partial, m2.partial" in told(done)
    models = [LogisticRegression.load(f"m{n}.partial") for n in (1, 2)]
    assert ROWS > models[0].examples == models[1].examples > 3_000
    best = min(models, key=lambda one: one.log_loss or 9)
    done = stopped_at(place, "reading", "train", "log.vw", *tries, "--model=best", nth=2)
    assert "saved as best.partial" in told(done)
    assert LogisticRegression.load("best.partial").lanes == best.lanes
    # Once all is read, what waits to be learned is learned.
    done = stopped_at(place, "learning", "train", "log.vw", *tries, "--model=m{n}", nth=3)
    assert told(done) == "all was learned, and saved as m1, m2"
    assert [LogisticRegression.load(f"m{n}").examples for n in (1, 2)] == [ROWS, ROWS]


def test_what_train_knows_of_tables_is_kept_too(place: Path) -> None:
    done = stopped_at(place, "learning", "train", "log.csv", "--bits=10", "--model=new", nth=2)
    assert "saved as new.partial" in told(done)
    assert LogisticRegression.load("new.partial").notes["csv"]["columns"] == ["site", "ad", "more"]
    assert nonzero_here("predict", "log.csv", "--model=new.partial").returncode == 0


@pytest.mark.parametrize(
    ("stage", "arguments", "said"),
    [
        ("sample", ["train", "log.csv", "--model=new"], "nothing was learned, and nothing is saved"),
        (
            "loads",
            ["train", "log.vw", "--from=model", "--model=new"],
            "nothing was learned, and nothing is saved",
        ),
        ("learning", ["train", "log.vw"], "nothing is saved, for there is no --model"),
        ("loads", ["predict", "log.vw", "--model=model", "--output=new"], "nothing was predicted"),
        (
            "predicting",
            ["predict", "log.vw", "--model=model", "--output=new"],
            "nothing was written: new is not there",
        ),
        ("sample", ["convert", "log.csv", "new.rows"], "nothing was written: new.rows is not there"),
        ("rows", ["convert", "log.vw", "new.rows"], "nothing was written: new.rows is not there"),
        ("lines", ["convert", "log.vw", "new.libsvm.gz"], "nothing was written: new.libsvm.gz is not there"),
    ],
)
def test_what_was_not_kept_is_told_and_nothing_is_left(
    place: Path, stage: str, arguments: list[str], said: str
) -> None:
    done = stopped_at(place, stage, *arguments, number=signal.SIGTERM)
    assert said in told(done)
    assert done.stdout == ""
    assert there(place) == set()


def test_what_was_there_stays_as_it_was(place: Path) -> None:
    Path("old").write_text("old")
    for arguments in (
        ["predict", "log.vw", "--model=model", "--output=old"],
        ["convert", "log.vw", "old", "--to=rows"],
    ):
        stage = "predicting" if arguments[0] == "predict" else "rows"
        assert "old is as it was" in told(stopped_at(place, stage, *arguments, "--overwrite"))
        assert Path("old").read_text() == "old"
        assert there(place) == {"old"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "log.vw", "--bits=10", "--model=new"],
        ["predict", "log.vw", "--model=model", "--output=new"],
        ["convert", "log.vw", "--to=rows", "new"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_is_nearly_there_is_finished(place: Path, arguments: list[str]) -> None:
    assert nonzero_here(*arguments).returncode == 0
    expected = Path("new").read_bytes()
    Path("new").write_text("old")
    done = stopped_at(place, "saving", *arguments, "--overwrite")
    assert told(done).startswith("all ")
    assert "new" in told(done)
    assert Path("new").read_bytes() == expected
    assert there(place) == {"new"}


def test_a_second_signal_ends_that_too(place: Path) -> None:
    Path("new").write_text("old")
    save = ("--model=new", "--overwrite")
    done = stopped_at(place, "saving", "train", "log.vw", "--bits=10", *save, times=2)
    assert told(done) == "nothing was kept, as a second signal came"
    assert Path("new").read_text() == "old"
    assert there(place) == {"new"}


def test_predictions_that_were_printed_are_whole_lines_of_the_log(place: Path) -> None:
    done = stopped_at(place, "predicting", "predict", "log.vw", "--model=model", nth=2)
    found = re.fullmatch(
        r"([\d,]+) examples were predicted and printed, as far as line ([\d,]+) of log.vw", told(done)
    )
    assert found is not None
    expected = LogisticRegression.load("model").predict(formats.parse("".join(LINES).encode(), "vw"))
    printed = np.array(done.stdout.split(), np.float32)
    assert len(printed) == int(found[1].replace(",", "")) == int(found[2].replace(",", ""))
    assert (printed == expected[: len(printed)]).all()
    assert 0 < len(printed) < ROWS


@pytest.mark.usefixtures("place")
def test_a_reader_that_stands_still_keeps_nothing_alive() -> None:
    command = [*COMMAND, "predict", "log.vw", "--model=model"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pipe = process.stdout.fileno()
        full = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
        until(lambda: int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), "little") > full - 4096)
        process.terminate()
        assert process.wait(60) == 130
        assert process.stderr.read().startswith("nonzero: stopped: standard output takes no more")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["train", "predict", "convert"])
def test_a_command_that_waits_for_its_file_stops_at_once(
    place: Path, command: str, number: signal.Signals
) -> None:
    os.mkfifo("pipe.vw")
    more = {"train": ["--model=new"], "predict": ["--model=model", "--output=new"], "convert": ["new.rows"]}[
        command
    ]
    child, ended = started(place, command, "pipe.vw", *more)
    with Path("pipe.vw").open("wb"):  # it is opened by both by then
        child.send_signal(number)
        assert "nothing was" in told(ended())
    assert there(place) == {"pipe.vw"}


def test_a_pipe_that_stands_still_is_no_reason_to_lose_what_was_learned(place: Path) -> None:
    os.mkfifo("pipe.vw")
    child, ended = started(place, "train", "pipe.vw", "--bits=10", "--model=new", stage="learning", nth=2)
    writing = threading.Event()

    def write() -> None:
        with Path("pipe.vw").open("w") as pipe:
            pipe.write("".join(LINES))
            pipe.flush()
            writing.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    until((place / REACHED).exists)
    child.send_signal(signal.SIGINT)
    said = told(ended())
    writing.set()
    writer.join()
    assert "saved as new.partial" in said
    assert LogisticRegression.load("new.partial").examples > 3_000


@pytest.mark.usefixtures("place")
def test_a_signal_that_is_to_be_ignored_is() -> None:
    """As whoever starts it in the background, without job control, has it."""
    script = 'trap "" INT; "$@" & child=$!; for _ in 1 2 3; do kill -INT $child; sleep 0.1; done; wait $child'
    command = ["bash", "-c", script, "-", *COMMAND, "train", "log.vw", "--bits=10", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"examples": 12000' in done.stdout


def test_what_has_nothing_to_keep_stops_in_one_line(place: Path) -> None:
    done = stopped_at(place, "imports", "inspect", "model")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "nonzero: stopped\n")


def test_while_python_imports_it_there_is_no_traceback() -> None:
    """The library is imported before there is a command."""
    script = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
import nonzero_service.cli
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
    look = (
        "import signal, nonzero_service.cli as cli; print(signal.getsignal(2) is signal.default_int_handler)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
