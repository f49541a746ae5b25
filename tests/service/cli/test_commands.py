"""The commands that need only the library: what they print, what they refuse, how they exit."""

import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import pytest
import zstandard

from command_line import COMMAND, nonzero
from nonzero import FTRL, AdaGrad, LogisticRegression, __version__, formats
from nonzero_service.cli import COMMANDS, main
from real_data import real_data

SUMMARY = {
    "examples",
    "log_loss",
    "auc",
    "normalized_entropy",
    "calibration",
    "examples_per_second",
    "seconds",
}


def lines_of_vw(n: int, seed: int = 0) -> bytes:
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 50, (n, 3))
    labels = np.where(generator.random(n) < 1 / (1 + np.exp(2 - rows[:, 0] / 12)), "1", "-1")
    lines = (f"{y} |s a={a} b={b} |u c={c}:0.5\n" for y, (a, b, c) in zip(labels, rows.tolist(), strict=True))
    return "".join(lines).encode()


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clicks") / "clicks.vw"
    path.write_bytes(lines_of_vw(3000))
    return path


@pytest.fixture(scope="module")
def trained(clicks: Path) -> Path:
    path = clicks.with_name("model.safetensors")
    done = nonzero("train", clicks, "--model", path, "--bits", "12")
    assert done.returncode == 0, done.stderr
    return path


class Run(Protocol):
    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, which saves the second that a new one needs to start."""

    def run_here(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exited:
            main([*map(str, arguments)])
        captured = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(exited.value.code or 0), captured.out, captured.err)

    return run_here


def test_the_version_is_that_of_the_package_and_takes_no_time(run: Run) -> None:
    assert run("--version").stdout == f"nonzero {__version__}\n"
    assert __version__ == version("nonzero-ctr")
    look = "import sys, nonzero; print('importlib.metadata' in sys.modules)"  # it takes 30 ms to import
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"


def test_python_runs_it_by_the_name_of_the_library() -> None:
    command = [sys.executable, "-m", "nonzero"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"nonzero {__version__}\n"
    done = subprocess.run([*command, "trian"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: python -m nonzero ")


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["trian"], "train"),
        (["--verson"], "--version"),
        (["train", "log.vw", "--overwrit"], "--overwrite"),
        (["train", "log.vw", "--form", "vw"], "--from"),
        (["serve", "--datadir", "x"], "--data-dir"),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest_name(run: Run, arguments: list[str], near: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean" in done.stderr
    assert near in done.stderr.partition("Did you mean")[2]


def test_without_a_command_it_shows_what_there_is(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == run("--help").stdout
    assert [line.split()[0] for line in done.stderr.partition("Commands:\n")[2].splitlines()] == [*COMMANDS]


def test_a_shell_completes_commands_options_formats_and_files(tmp_path: Path) -> None:
    """A real bash, with what the page says to load; the functions are called as it calls them for a tab."""
    (tmp_path / "clicks.vw").touch()
    lines = [
        "nonzero tra",
        "nonzero train --overwrite cli",
        "nonzero train --format parq",
        "nonzero serve --data-d",
    ]
    script = """eval "$(_NONZERO_COMPLETE=bash_source nonzero)"
    compopt() { COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); }
    while read -r line; do
        COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
        _nonzero_completion nonzero
        echo "${COMPREPLY[*]}"
    done"""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        input="\n".join([*lines, ""]),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stdout.split() == ["train", "clicks.vw", "parquet", "--data-dir"]


@pytest.mark.parametrize("package", ["nonzero", "nonzero_service"])
def test_type_checkers_are_told_of_types(package: str) -> None:
    assert (files(package) / "py.typed").is_file()


def test_train_learns_what_the_library_learns_and_reports_it(clicks: Path, trained: Path) -> None:
    done = nonzero("train", clicks, "--bits", "12", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary.keys() >= SUMMARY
    model = LogisticRegression(bits=12)
    model.learn(formats.parse(clicks.read_bytes(), "vw"))
    metrics = model.metrics()
    for key in ("examples", "log_loss", "auc", "normalized_entropy", "calibration"):
        assert summary[key] == metrics[key]
    assert summary["examples_per_second"] == pytest.approx(3000 / summary["seconds"])
    assert LogisticRegression.load(trained).digest() == model.digest()
    # Where stderr is no terminal, progress is plain lines.
    assert "100%" in done.stderr
    assert "\x1b" not in done.stderr


def test_train_prints_a_summary_for_people(run: Run, clicks: Path) -> None:
    done = run("train", clicks, "--bits", "12")
    assert done.returncode == 0, done.stderr
    rows = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert rows["examples"] == "3,000"
    assert 0.2 < float(rows["log loss"]) < 0.7


def test_several_files_of_every_packing_are_one_stream(
    run: Run, clicks: Path, trained: Path, tmp_path: Path
) -> None:
    lines = clicks.read_bytes().splitlines(keepends=True)
    (tmp_path / "1.vw").write_bytes(b"".join(lines[:1000]))
    (tmp_path / "2.vw.gz").write_bytes(gzip.compress(b"".join(lines[1000:1500])))
    (tmp_path / "3.vw.zst").write_bytes(zstandard.compress(b"".join(lines[1500:2200])))
    files = [tmp_path / name for name in ("1.vw", "2.vw.gz", "3.vw.zst")]
    model = tmp_path / "model.safetensors"
    # Standard input is the last of the files, and compressed as well.
    stdin = gzip.compress(b"".join(lines[2200:]))
    done = run("train", *files, "-", "--format", "vw", "--bits", "12", "--model", model, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert LogisticRegression.load(model).digest() == LogisticRegression.load(trained).digest()


def test_a_learning_rate_is_one_lane(run: Run, clicks: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    done = run("train", clicks, "--bits", "12", "--learning-rate", "0.3", "--model", path)
    assert done.returncode == 0, done.stderr
    model = LogisticRegression(bits=12, optimizer=AdaGrad(learning_rate=0.3))
    model.learn(formats.parse(clicks.read_bytes(), "vw"))
    assert LogisticRegression.load(path).digest() == model.digest()


def test_bad_lines_are_counted_named_and_not_learned(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "clicks.vw"
    lines = lines_of_vw(100).splitlines(keepends=True)
    for place, line in ((3, b"wrong |a b\n"), (50, b"|a no label\n"), (77, b"1\n"), (90, b"\n")):
        lines.insert(place, line)
    path.write_bytes(b"".join(lines) + b"nonsense\n" * 200)
    done = run("train", path, "--bits", "10", "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert (summary["examples"], summary["rejected"]) == (100, 203)
    for place in (4, 51, 78):
        assert f"{path}, line {place}: " in done.stderr
    assert "203" in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_a_file_without_any_example_is_a_failure(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "clicks.vw"
    for content in (b"", b"|a no label\n"):
        path.write_bytes(content)
        model = tmp_path / "model.safetensors"
        done = run("train", path, "--bits", "10", "--model", model)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("nonzero: there is no example to learn from")
        assert not model.exists()


def test_a_damaged_file_is_a_failure_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "clicks.vw.gz"
    path.write_bytes(gzip.compress(lines_of_vw(1000))[:-10])
    done = nonzero("train", path, "--bits", "10")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"nonzero: {path} is damaged, or not whole")
    assert "Traceback" not in done.stderr


def test_a_small_log_makes_a_small_file(run: Run, tmp_path: Path) -> None:
    clicks, model = tmp_path / "four.csv", tmp_path / "model.safetensors"
    clicks.write_text("label,site,hour\n1,news,9\n0,blog,9\n0,news,10\n1,shop,11\n")
    assert run("train", clicks, "--model", model).returncode == 0
    assert LogisticRegression.load(model, bits=22).examples == 4
    assert model.stat().st_size <= 64 << 10


WITH_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A process begins with the peak of its parent: a small one stands between."""


def test_a_small_log_takes_little_memory(tmp_path: Path) -> None:
    """Of 256 MiB, the table of 2**22 slots, 100,000 rows touch 420,000 slots: some in each of its pages."""
    generator = np.random.default_rng(1)
    clicks, model = tmp_path / "clicks.vw", tmp_path / "model.safetensors"
    users = generator.integers(0, 10**6, (100_000, 5)).tolist()
    lines = (
        f"{1 if row[0] % 5 == 0 else -1} |u a{row[0]} b{row[1]} c{row[2]} d{row[3]} e{row[4]}\n"
        for row in users
    )
    clicks.write_text("".join(lines))
    command = [*COMMAND, "train", str(clicks), "--model", str(model), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", WITH_PEAK, *command], capture_output=True, text=True, check=True
    )
    summary, peak = done.stdout.splitlines()
    assert json.loads(summary)["examples"] == 100_000
    trained = LogisticRegression.load(model)
    touched = trained.rows.touched().count
    assert touched > 400_000
    assert model.stat().st_size < touched * (64 + 12) + 100_000 * 16 + (64 << 10)
    assert int(peak) << 10 < 150e6


def test_predict_prints_one_probability_a_line(run: Run, clicks: Path, trained: Path, tmp_path: Path) -> None:
    batch = formats.parse(clicks.read_bytes(), "vw")
    expected = LogisticRegression.load(trained).predict(batch)
    done = run("predict", clicks, "--model", trained)
    assert (done.returncode, done.stderr) == (0, "")
    assert (np.array(done.stdout.split(), np.float32) == expected).all()
    output = tmp_path / "predictions"
    done = nonzero(
        "predict", "-", "--format=vw", "--model", trained, "--output", output, stdin=clicks.read_bytes()
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert (np.loadtxt(output, np.float32) == expected).all()


def test_predict_keeps_lines_in_line_where_some_cannot_be_read(run: Run, trained: Path) -> None:
    data = b"|s a=1\nwrong |s a=1\n1 |s a=2\n\n|s a=1"
    done = run("predict", "-", "--format", "vw", "--model", trained, stdin=data)
    assert done.returncode == 1
    predictions = np.array(done.stdout.split(), np.float32)
    assert np.isnan(predictions).tolist() == [False, True, False, False]  # a blank line is no example
    assert predictions[0] == predictions[3] != predictions[2]
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["standard input, line 2"]


def test_slots_outside_the_models_table_are_refused(run: Run, tmp_path: Path) -> None:
    path, model = tmp_path / "rows.svm", tmp_path / "model.safetensors"
    path.write_bytes(b"1 3:1\n0 5:1\n1 99:1\n")
    done = run("train", path, "--bits", "5", "--model", model, "--json")
    assert json.loads(done.stdout)["rejected"] == 1
    done = run("predict", path, "--model", model)
    assert done.returncode == 1
    assert done.stdout.splitlines()[2] == "nan"
    assert "line 3" in done.stderr
    assert "2**5 = 32 slots" in done.stderr


def test_a_table_is_predicted_as_one_was_trained_on(run: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    rows = [f"i{n},s{n % 9},{price:.3f},{n % 2}" for n, price in enumerate(generator.random(400))]
    path, model = tmp_path / "clicks.csv", tmp_path / "model.safetensors"
    path.write_text("\n".join(["id,site,price,bought", *rows, ""]))
    done = run("train", path, "--bits=12", "--label=bought", "--numeric=price", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "'id'" in done.stderr  # left out aloud
    batch = formats.parse(path.read_bytes(), "csv", label="bought", numeric=["price"])
    expected = LogisticRegression.load(model).predict(batch)
    # Neither the label nor what was left out is needed; the numbers are.
    fewer = "\n".join(["site,price", *(",".join(row.split(",")[1:3]) for row in rows), ""])
    for data in (path.read_bytes(), fewer.encode()):
        done = run("predict", "-", "--format=csv", "--model", model, stdin=data)
        assert done.returncode == 0, done.stderr
        assert (np.array(done.stdout.split(), np.float32) == expected).all()
    done = run("predict", "-", "--format=csv", "--model", model, stdin=b"site\ns1\n")
    assert done.returncode == 1
    assert "'price'" in done.stderr


def test_a_closed_pipe_ends_the_command_quietly(clicks: Path, trained: Path) -> None:
    command = [*COMMAND, "predict", str(clicks), "--model", str(trained)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("closed", "file", "status", "said"),
    [
        ("0<&-", "-", 1, "nonzero: standard input is closed; name a file"),
        ("1>&-", "clicks.vw", 0, "3,000 examples"),
        ("2>&-", "clicks.vw", 0, ""),
    ],
)
def test_closed_standard_streams_are_no_crash(
    clicks: Path, tmp_path: Path, closed: str, file: str, status: int, said: str
) -> None:
    model = tmp_path / "model"
    command = ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "train", file, "--format=vw", "--bits=10"]
    done = subprocess.run(
        [*command, "--model", str(model)], cwd=clicks.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr, said in done.stderr) == (status, False, True), done
    assert model.exists() == (status == 0)


def test_inspect_shows_what_a_model_holds(run: Run, trained: Path) -> None:
    model = LogisticRegression.load(trained)
    done = run("inspect", trained, "--json", "--top", "3")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["settings"] == model.settings
    assert report["examples"] == 3000
    assert report["metrics"] == model.metrics()
    assert report["digest"] == model.digest()
    weights = model.weights
    assert report["intercept"] == weights[-1]
    assert len(report["weights"]) == 3
    for row in report["weights"]:
        assert row["weight"] == weights[row["slot"]]
    assert abs(report["weights"][0]["weight"]) == np.abs(weights[:-1]).max()
    shown = run("inspect", trained).stdout
    assert "4,096 slots" in shown
    assert model.digest() in shown
    assert f"{report['weights'][0]['weight']:+.4f}" in shown


def test_rules_and_interactions_are_options_and_are_kept(run: Run, tmp_path: Path) -> None:
    log, kept = tmp_path / "log.csv", tmp_path / "kept"
    rows = "".join(f"s{j % 4},h{j % 3},{int((j % 4 < 2) ^ (j % 3 < 2))}\n" for j in range(300))
    log.write_text("site,hour,click\n" + rows)
    options = ("--bits", "12", "--optimizer", "ftrl:alpha=0.5,l1=0.1", "--interactions", "site*hour")
    done = run("train", log, *options, "--model", kept)
    assert done.returncode == 0, done.stderr
    said = {"site": "category", "hour": "category"}  # as train found them, and wrote them down
    model = LogisticRegression(12, FTRL(alpha=0.5, l1=0.1), interactions=["site*hour"], schema=said)
    model.learn(formats.parse(log.read_bytes(), "csv"))
    assert LogisticRegression.load(kept).digest() == model.digest()
    done = run("predict", log, "--model", kept, "--interactions", "site*hour")
    no, _, _, yes = (float(line) for line in done.stdout.splitlines()[:4])
    assert no < 0.3 < 0.7 < yes
    assert run("predict", log, "--model", kept, "--interactions", "hour*site").returncode == 1
    shown = run("inspect", kept).stdout
    assert "ftrl:alpha=0.5,beta=1,l1=0.1,l2=0" in shown
    assert "interactions: site*hour" in shown
    assert "diagnosis: unknown" in shown
    assert run("train", log, "--optimizer", "ftrl", "--learning-rate", "1").returncode == 2


def test_inspect_says_whether_a_model_still_learns(run: Run, tmp_path: Path) -> None:
    log, kept = tmp_path / "log.csv", tmp_path / "kept"
    log.write_text("site,click\n" + "".join(f"s{j % 7},{int(j % 7 < 2)}\n" for j in range(4_000)))
    run("train", log, "--bits", "10", "--model", kept)
    report = json.loads(run("inspect", kept, "--json").stdout)
    assert report["diagnosis"] == json.loads(json.dumps(LogisticRegression.load(kept).diagnose(["site"])))
    shown = run("inspect", kept).stdout
    assert "diagnosis: learning" in shown
    assert re.search(r"site +\w+ +[\d. e-]+ +[\d,]+ examples", shown)


def test_inspect_of_something_else_is_a_failure_in_one_line(run: Run, clicks: Path) -> None:
    done = run("inspect", clicks)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(clicks) in done.stderr


def read_terminal(screen: IO[bytes]) -> bytes:
    """Return all that comes until nobody can write to it any more."""
    shown = b""
    with suppress(OSError):  # so it ends
        while piece := screen.read(1 << 16):
            shown += piece
    return shown


def test_progress_is_a_bar_on_a_terminal_and_stdout_stays_clean(clicks: Path) -> None:
    terminal, stderr = pty.openpty()
    command = [*COMMAND, "train", str(clicks), "--bits", "12", "--json"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with os.fdopen(terminal, "rb", buffering=0) as screen, ThreadPoolExecutor() as threads:
        reading = threads.submit(read_terminal, screen)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)
        os.close(stderr)
        shown = reading.result().decode()
    assert json.loads(done.stdout)["examples"] == 3000
    assert "━" in shown
    assert "\x1b[" in shown
    assert "3,000 examples" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "FILE"),
        (["train", "absent.vw"], "absent.vw"),
        (["train", "-"], f"{', '.join(formats.NAMES)}, parquet, arrow or rows"),
        (["train", "-", "--format", "xml"], "'xml' is unknown; give one of"),
        (["train", "-", "--format", "CSV"], "avazu, parquet, arrow, rows"),
        (["train", "-", "--format", "vw", "--label", "click"], "label"),
        (["train", "-", "--format", "vw", "--bits", "31"], "30"),
        (["train", "-", "--format", "vw", "--learning-rate", "fast"], "fast"),
        (["train", "-", "--format", "vw", "--learning-rate", "-1"], "-1"),
        (["train", "-", "--format", "vw", "--model", "absent/model"], "absent"),
        (["predict", "-", "--format", "vw"], "--model"),
        (["predict", "-", "--format", "vw", "--model", "absent"], "absent"),
        (["demo", "absent.vw"], "absent.vw"),
        (["demo", "--learning-rate", "fast"], "fast"),
        (["learn"], "learn"),
    ],
)
def test_a_wrong_use_is_status_2_and_says_what_is_wrong(run: Run, arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "most"),
    [("a9a.svm.gz", 0.3330), ("rcv1_small.vw.gz", 0.40), ("criteo_attribution.csv.gz", 0.6209)],
)
def test_untuned_on_real_data(name: str, most: float) -> None:
    done = nonzero("train", real_data(name), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["rejected"] == 0
    assert summary["log_loss"] <= most
