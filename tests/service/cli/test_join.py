"""``nonzero join``: impressions labelled by their clicks, as a service with windows learns them."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from command_line import nonzero_here
from nonzero import LogisticRegression
from waiting import until

Start = Callable[..., Any]

WINDOW = 600

STEP = 1000
"""Events come so many seconds apart, clicks half of that after impressions."""

# id, second of the impression, site; out of order, and one id twice.
SHOWN = [
    ("a", 100, "news"), ("b", 50, "sport"), ("c", 50, 'x, "y"'), ("d", 700, "two\nlines"), ("e", 20, "ünï"),
    ("b", 60, "again"), ("f", 300, "news"),
]  # fmt: skip
CLICKED = [
    ("a", 700), ("b", 49), ("c", 651), ("d", 701), ("d", 900), ("d", 5000), ("z", 3), ("f", 300),
    ("e", 19), ("e", 21),
]  # fmt: skip
LABELS = {"e": 1, "b": 0, "c": 0, "a": 1, "f": 1, "d": 1}
COUNTS = {
    "impressions": 7, "positives": 4, "negatives": 2, "repeated_impressions": 1, "clicks": 10,
    "joined_clicks": 4, "repeated_clicks": 1, "clicks_before": 2, "clicks_after": 2, "clicks_without": 1,
    "rejected": 0,
}  # fmt: skip


def table(rows: list[tuple[Any, ...]], header: str, delimiter: str = ",") -> str:
    def cell(value: object) -> str:
        text = str(value).replace('"', '""')
        return f'"{text}"' if {*text} & {*'",\n'} else text

    lines = [delimiter.join(map(cell, row)) for row in rows]
    return "\n".join([header.replace(",", delimiter), *lines]) + "\n"


def joined(*arguments: str | Path, window: int = WINDOW) -> dict[str, int]:
    done = nonzero_here("join", *arguments, f"--window={window}", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "shown.csv").write_text(table(SHOWN, "id,at,site"))
    (tmp_path / "clicked.csv").write_text(table(CLICKED, "id,at"))
    return tmp_path


def test_each_click_and_each_impression_is_one_of_these(logs: Path) -> None:
    files = (logs / "shown.csv", logs / "clicked.csv")
    assert joined(*files, "--id=id", "--time=at:s", "-o", logs / "out.csv") == COUNTS
    with (logs / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["id", "at", "site", "label"]
    assert {row["id"]: int(row["label"]) for row in rows} == LABELS
    assert [int(row["at"]) for row in rows] == [20, 50, 50, 100, 300, 700]
    first = {name: (str(at), site) for name, at, site in reversed(SHOWN)}
    assert all((row["at"], row["site"]) == first[row["id"]] for row in rows)
    done = nonzero_here(
        "join", *files, "--id=id", "--time=at:s", "--window=600", "-o", logs / "out.csv", "--overwrite"
    )
    assert "  after the window                     2\n" in done.stdout
    assert "is sorted by time on the disk beside" in done.stderr
    assert sorted(path.name for path in logs.iterdir()) == ["clicked.csv", "out.csv", "shown.csv"]


def test_lines_are_written_as_they_were_read(logs: Path) -> None:
    text = '\ufeffid;at;site;n\r\na;1;00501;"1.10"\r\nb;2; é ;\r\nc;3;"say ""hi""";1e3'
    (logs / "shown.csv").write_text(text, newline="")
    joined(logs / "shown.csv", logs / "clicked.csv", "--id=id", "--time=at:s", "-o", logs / "out.csv.gz")
    written = gzip.decompress((logs / "out.csv.gz").read_bytes()).decode()
    assert written == 'id;at;site;n;label\na;1;00501;"1.10";0\nb;2; é ;;1\nc;3;"say ""hi""";1e3;0\n'


@pytest.mark.parametrize("shown", ["csv", "tsv", "ndjson", "parquet", "arrow"])
@pytest.mark.parametrize("clicked", ["ndjson", "parquet"])
def test_files_of_any_kind_are_joined_alike(tmp_path: Path, shown: str, clicked: str) -> None:
    moments = {name: datetime.fromtimestamp(at, UTC) for name, at, _ in reversed(SHOWN)}
    rows = [{"id": name, "at": at, "site": site} for name, at, site in SHOWN]
    file, clicks = tmp_path / f"shown.{shown}", tmp_path / f"clicked.{clicked}"
    time, output = "at:s", "csv"
    if shown in ("csv", "tsv"):
        file.write_text(table(SHOWN, "id,at,site", "\t" if shown == "tsv" else ","))
        output = "parquet"
    elif shown == "ndjson":
        lines = [{"features": {"site": site}, "id": name, "time": 1000 * at} for name, at, site in SHOWN]
        file.write_text("\n".join(map(json.dumps, lines)))
        time, output = "time:ms", "ndjson"
    else:
        typed = pyarrow.table(
            {
                "id": pyarrow.array([row["id"] for row in rows]).dictionary_encode(),
                "at": pyarrow.array(
                    [datetime.fromtimestamp(at, UTC) for _, at, _ in SHOWN], pyarrow.timestamp("us", "UTC")
                ),
                "site": pyarrow.array([row["site"] for row in rows]).cast(pyarrow.string_view()),
                "tags": [["x"], [], None, ["y", "z"], [], [], []],
            }
        )
        if shown == "parquet":
            parquet.write_table(typed, file, row_group_size=3)
        else:
            with pyarrow.ipc.new_file(file, typed.schema) as out:
                out.write_table(typed)
        time, output = "at", "parquet"
    if clicked == "ndjson":
        clicks.write_text("".join(f'{{"imp": "{name}", "when": {at}}}\n' for name, at in CLICKED))
    else:
        parquet.write_table(
            pyarrow.table({"imp": [x for x, _ in CLICKED], "when": [y for _, y in CLICKED]}), clicks
        )
    out = tmp_path / f"out.{output}"
    given = (file, clicks, "--id=id", "--time", time, "--click-id=imp", "--click-time=when:s", "-o", out)
    assert joined(*given) == COUNTS
    if output == "ndjson":
        found = [json.loads(line) for line in out.read_text().splitlines()]
        assert [*found[0]] == ["features", "id", "time", "label"]
    else:
        found = parquet.read_table(out).to_pylist()
        if shown in ("parquet", "arrow"):
            assert [row["at"] for row in found] == [moments[row["id"]] for row in found]
            assert found[-1]["tags"] == ["y", "z"]
    assert [(row["id"], row["label"]) for row in found] == [*LABELS.items()]


def test_the_files_of_a_pattern_are_one_log_whatever_names_their_columns(tmp_path: Path) -> None:
    for day in (0, 1):
        (tmp_path / f"shown_{day}.log").write_text(table(SHOWN[day::2], "").removeprefix("\n"))
        (tmp_path / f"clicked_{day}.log").write_text(table(CLICKED[day::2], "").removeprefix("\n"))
    given = (tmp_path / "shown_?.log", tmp_path / "clicked_*.log", "--format=csv", "--time=at:s")
    named = ("--columns=id,at,site", "--click-columns=id,at", "--id=id", "-o", tmp_path / "out.tsv")
    assert joined(*given, *named) == COUNTS | {"repeated_impressions": 1}
    with (tmp_path / "out.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["id"]: int(row["label"]) for row in rows} == LABELS
    assert {row["site"] for row in rows} > {'x, "y"', "two\nlines"}
    (tmp_path / "shown_2.log").write_text("a,5\n")
    done = nonzero_here("join", *given, *named, "--window=9", "--overwrite")
    assert done.returncode == 1
    assert "shown_2.log" in done.stderr


def test_avazu_is_joined_by_its_hours(tmp_path: Path) -> None:
    (tmp_path / "shown").write_text("id,hour,C1\n1,14102113,5\n2,14102113,6\n")
    (tmp_path / "clicked").write_text("id,hour\n2,14102114\n")
    out = tmp_path / "out.csv"
    joined(
        tmp_path / "shown", tmp_path / "clicked", "--format=avazu", "--id=id", "--time=hour:%y%m%d%H",
        "--label=click", "-o", out, window=3600,
    )  # fmt: skip
    assert out.read_text() == "id,hour,C1,click\n1,14102113,5,0\n2,14102113,6,1\n"


def test_columns_are_written_as_text_where_that_holds_them(tmp_path: Path) -> None:
    (tmp_path / "clicked.csv").write_text("id,at\nb,5\n")
    typed = pyarrow.table({"id": ["a", "b"], "at": [3, 2], "x": [0.5, None], "y": ['p,"q"', "r"]})
    parquet.write_table(typed, tmp_path / "shown.parquet")
    files = (tmp_path / "shown.parquet", tmp_path / "clicked.csv", "--id=id", "--time=at:s")
    joined(*files, "-o", tmp_path / "out.csv", "--label=bought")
    assert (tmp_path / "out.csv").read_text() == 'id,at,x,y,bought\nb,2,,r,1\na,3,0.5,"p,""q""",0\n'
    joined(*files, "-o", tmp_path / "out.tsv")
    assert (
        tmp_path / "out.tsv"
    ).read_text() == 'id\tat\tx\ty\tlabel\nb\t2\t\tr\t1\na\t3\t0.5\t"p,""q"""\t0\n'
    parquet.write_table(typed.append_column("z", pyarrow.array([[1], []])), tmp_path / "shown.parquet")
    done = nonzero_here("join", *files, "--window=9", "-o", tmp_path / "none.csv")
    assert done.returncode == 2
    assert "'z' is list" in done.stderr
    assert "write .parquet" in done.stderr


def test_lines_that_are_no_events_are_left_out_and_named(logs: Path) -> None:
    (logs / "shown.csv").write_text('id,at\na,1\n,2\nb,soon\nc\n\n"d\n"x,3\ne,4\n"f')
    done = nonzero_here(
        "join", logs / "shown.csv", logs / "clicked.csv", "--id=id", "--time=at:s", "--window=9", "--json",
        "-o", logs / "out.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rejected"] == 6
    assert (logs / "out.csv").read_text() == "id,at,label\na,1,0\ne,4,0\n"
    for line, reason in (
        (3, "the id 'id' is missing"),
        (4, "the time "),
        (5, "the line has 1 cells, the header 2"),
        (7, "stands after a closing quote"),
    ):
        assert f"shown.csv, line {line}: " in done.stderr
        assert reason in done.stderr
    assert "6 in all" in done.stderr
    done = nonzero_here(
        "join", logs / "shown.csv", logs / "clicked.csv", "--id=id", "--time=at", "--window=9",
        "-o", logs / "none.csv",
    )  # fmt: skip
    assert "may be seconds since 1970, or milliseconds before 1973; say" in done.stderr
    (logs / "shown.ndjson").write_text(
        '{"id": 1, "time": 5}\n[]\n{"id": 2}\n{"id": 3, "time": 1, "label": null}\nx\n{}'
    )
    found = joined(
        logs / "shown.ndjson", logs / "clicked.csv", "--id=id", "--time=time:ms", "--click-time=at:s",
        "-o", logs / "out.ndjson",
    )  # fmt: skip
    assert (found["impressions"], found["rejected"]) == (1, 5)
    assert (logs / "out.ndjson").read_text() == '{"id": 1, "time": 5, "label": 0}\n'


def test_wrong_uses_are_refused_and_leave_what_was_there(logs: Path) -> None:
    (logs / "out.csv").write_text("kept")
    (logs / "empty.csv").write_text("")
    shown, clicked, empty = logs / "shown.csv", logs / "clicked.csv", logs / "empty.csv"
    for given, reason in (
        ((shown, clicked, "--id=id", "--time=at:hours"), "'hours'; give ms, s, iso"),
        ((shown, clicked, "--id=user", "--time=at"), "has no column 'user'; there are id, at, site"),
        ((shown, clicked, "--id=id", "--time=at:%Y %Y"), "which is no pattern of strptime"),
        ((shown, clicked, "--id=id", "--time=at", "--window=nan"), "nan is no number of seconds"),
        ((shown, clicked, "--id=id", "--time=at", "--window=inf"), "inf is not in the range"),
        ((shown, clicked, "--id=id", "--time=at", "--label=site"), "has a column 'site' already"),
        ((shown, clicked, "--id=id", "--time=at", "--label="), "'' is no name of a column"),
        ((shown, clicked, "--id=id", "--time=at", "--label=a\nb"), "is no name of a column"),
        ((empty, clicked, "--id=id", "--time=at"), "is empty: there is no header"),
        ((shown, clicked, "--id=id", "--time=at", "-o", logs / "out.ndjson"), "is not written as ndjson"),
        ((shown, clicked, "--id=id", "--time=at", "-o", logs / "out.vw"), "does not tell what to write"),
        ((shown, clicked, "--id=id", "--time=at", "-o", shown), "is a file that is read"),
        ((shown, clicked, "--id=id", "--time=at", "-o", logs / "out.csv"), "is there already"),
        ((shown, "-", "--id=id", "--time=at"), "files are joined, not standard input"),
        ((shown, clicked, "--id=id", "--time=site:%Y", "--click-time=at:s"), "there is no impression in"),
    ):
        done = nonzero_here(
            "join", "--window=9", *given, *(() if "-o" in given else ("-o", logs / "out.csv", "--overwrite"))
        )
        assert done.returncode in (1, 2)
        assert reason in " ".join(done.stderr.split())
        assert (logs / "out.csv").read_text() == "kept"
    (logs / "y.csv").write_text("id,at,y\na,1,3\n")
    done = nonzero_here(
        "join", logs / "y.csv", clicked, "--id=id", "--time=at:s", "--window=9", "-o", logs / "new.csv"
    )
    assert "train with --label label --ignore y" in done.stderr


def test_a_model_of_it_is_what_a_service_learns_that_waits_for_the_window(
    clocked: Start, tmp_path: Path
) -> None:
    """The service is told of the same events as they come."""
    rng = np.random.default_rng(2)
    shown = [(f"i{k}", STEP * (k // 25), f"s{rng.integers(5)}", f"u{rng.integers(20)}") for k in range(150)]
    # None near a window's end: the service's clock goes on by itself too.
    delays = (STEP * rng.integers(0, 12, 150) + STEP // 2).tolist()
    clicked = [
        (name, at + delay) for (name, at, *_), delay in zip(shown, delays, strict=True) if rng.random() < 0.6
    ]
    served = learned_by_a_service(clocked, shown, clicked, tmp_path / "served")
    # As of two machines: of the same second, the first is first.
    (tmp_path / "shown.csv").write_text(table([*shown[75:], *shown[:75]], "id,at,site,user"))
    (tmp_path / "clicked.csv").write_text(table(clicked, "id,at"))
    out = tmp_path / "out.csv"
    files = (tmp_path / "shown.csv", tmp_path / "clicked.csv")
    counts = joined(*files, "--id=id", "--time=at:s", "-o", out, window=6 * STEP)
    assert counts["positives"] == served.clicks
    assert counts["clicks_after"] > 20
    model = tmp_path / "trained"
    done = nonzero_here("train", out, "--ignore=id,at", "--bits=12", "--learning-rate=0.1", "--model", model)
    assert done.returncode == 0, done.stderr
    trained = LogisticRegression.load(model)
    assert (trained.examples, trained.clicks) == (served.examples, served.clicks)
    assert (trained.weights == served.weights).all()
    assert trained.metrics(recent=False) == served.metrics(recent=False)


def learned_by_a_service(
    clocked: Start, shown: list[tuple[str, int, str, str]], clicked: list[tuple[str, int]], model: Path
) -> LogisticRegression:
    """Tell a service of impressions and clicks as they come, and return its model."""
    running = clocked(
        bits=12,
        learning_rate=0.1,
        negatives="window",
        attribution_seconds=6 * STEP,
        correction_seconds=0,
        impressions="durable",
    ).until_ready()
    with running.client() as client:

        def ended(now: int) -> bool:
            """Whether all windows have ended that had to."""
            found: int = client.get("/v1/models/default").json()["sequence"]
            return found >= sum(at + 6 * STEP < now for _, at, *_ in shown)

        end, moments = max(at for _, at in clicked), {name: at for name, at, *_ in shown}
        for now in range(0, end + 1, STEP // 2):
            examples = [
                {"features": {"site": site, "user": user}, "id": name}
                for name, at, site, user in shown
                if at == now
            ]
            labels = [{"id": name, "label": 1} for name, at in clicked if at == now]
            if examples:
                answer = client.post("/v1/models/default/predict", json={"examples": examples})
                assert answer.status_code == 200, answer.text
            if labels:
                until(partial(ended, now), lambda: client.get("/metrics").text)
                answer = client.post("/v1/models/default/labels", json={"labels": labels})
                in_time = sum(at == now and at - moments[name] <= 6 * STEP for name, at in clicked)
                assert answer.json().get("accepted", 0) == in_time, answer.text
            running.clock.pass_by(STEP // 2)
        running.clock.pass_by(12 * STEP)
        until(partial(ended, end + 12 * STEP))
        assert client.post("/v1/models/default/snapshots").status_code in (200, 201)
        model.write_bytes(client.get("/v1/models/default/snapshots/latest").content)
    return LogisticRegression.load(model)
