# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""How kernels are kept and loaded, and what they refuse."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import nonzero
from nonzero.compiled import inlined, kernel, loading, types
from nonzero.compiled.compiling import compiled
from nonzero.compiled.placing import NotOursError

KERNEL = """
from nonzero.compiled import kernel, types

@kernel(types.float64(types.float64[::1], types.int64))
def at(values, i):
    return values[i]
"""

# The package without its modules: importing them would compile all of its kernels.
PREPARED = f"""
import sys
from types import ModuleType
sys.modules["nonzero"] = package = ModuleType("nonzero")
package.__path__ = [{str(Path(nonzero.__file__).parent)!r}]
import numpy as np
"""

RUN = (
    PREPARED
    + """
from small import at
print(at(np.array([1.0, 2.0]), 1), "numba" in sys.modules)
"""
)

PLACE = (
    PREPARED
    + """
from nonzero.compiled import kept
print(kept.place_of(lambda: 0)[0])
"""
)


BESIDE = (
    PREPARED
    + """
import os, signal, time
from pathlib import Path
from nonzero.compiled import companion, kept
from here import of_this_folder
place = kept.place_of(of_this_folder)
where = Path(os.environ["NONZERO_CACHE_DIR"]) / place[0]
second = companion.start(place, ["small"])
"""
)
"""A companion compiles the kernel of `small`."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a module that has one kernel."""
    (tmp_path / "small.py").write_text(KERNEL)
    return tmp_path


def start(program: str, **environment: Any) -> Any:
    """Start a process in which nothing of Numba's or of ours is set but this."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "NONZERO_"))}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=ours | {name: str(value) for name, value in environment.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(program: str, **environment: Any) -> tuple[str, str]:
    process = start(program, **environment)
    printed, said = process.communicate()
    assert process.returncode == 0, said
    return printed.strip(), said


def test_what_one_process_compiled_another_loads_without_numba(small: Path) -> None:
    environment = {"PYTHONPATH": small, "NONZERO_CACHE_DIR": small / "cache"}
    at_once = [start(RUN, **environment) for _ in range(2)]
    for process in at_once:
        printed, said = process.communicate()
        assert (process.returncode, printed) == (0, "2.0 True\n"), said
        assert "compiles" in said
    assert run(RUN, **environment) == ("2.0 False", "")
    [file] = (small / "cache").glob("*/*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)  # damaged: it must not run
    assert run(RUN, **environment)[0] == "2.0 True"
    assert run(RUN, **environment)[0] == "2.0 False"


def test_what_nothing_has_used_for_a_month_is_removed(small: Path) -> None:
    cache = small / "cache"
    environment = {"PYTHONPATH": small, "NONZERO_CACHE_DIR": cache}
    run(RUN, **environment)
    [ours] = cache.iterdir()
    old, recent, strange = (cache / name for name in ("0" * 20, "1" * 20, "notes"))
    for directory, days in ((ours, 40), (old, 40), (recent, 20), (strange, 40)):
        directory.mkdir(exist_ok=True)
        (directory / "kernel").touch()
        os.utime(directory, (time.time() - days * 86_400,) * 2)
    assert run(RUN, **environment)[0] == "2.0 False"  # uses ours, and compiles nothing
    assert old.exists()
    (small / "small.py").write_text(KERNEL.replace("values[i]", "values[i] + 1"))
    assert run(RUN, **environment)[0] == "3.0 True"
    assert {ours, recent, strange} < {*cache.iterdir()}
    assert not old.exists()


def test_where_nothing_can_be_kept_it_works_and_says_so(small: Path) -> None:
    (small / "file").write_text("")
    (small / f"nonzero-{os.getuid()}").write_text("")
    printed, said = run(RUN, PYTHONPATH=small, NONZERO_CACHE_DIR=small / "file", TMPDIR=small)
    assert printed == "2.0 True"
    assert "NONZERO_CACHE_DIR" in said


def test_other_cpus_and_debug_flags_have_machine_code_of_their_own() -> None:
    flags: list[dict[str, str]] = [{}, {"NUMBA_CPU_NAME": "generic"}, {"NUMBA_BOUNDSCHECK": "1"}]
    assert len({run(PLACE, **environment)[0] for environment in flags}) == len(flags)


def test_an_edit_leaves_the_machine_code_of_what_does_not_import_it(tmp_path: Path) -> None:
    package = tmp_path / "nonzero"
    shutil.copytree(Path(nonzero.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    program = PREPARED.replace(str(Path(nonzero.__file__).parent), str(package)) + (
        "from nonzero.compiled import kept\n"
        "for name in ('nonzero.kernels.entry_points', 'nonzero.formats.vw_lines'):\n"
        "    one = lambda: 0\n"
        "    one.__module__ = name\n"
        "    print(kept.place_of(one)[0])\n"
    )

    def edited(file: str) -> list[str]:
        with (package / file).open("a") as source:
            source.write("# edited\n")
        return run(program)[0].split()

    before = edited("sources/pipeline.py")  # which no kernel needs
    after = edited("rules/adagrad.py")
    assert (after[0] != before[0], after[1]) == (True, before[1])
    before, after = after, edited("formats/numbers.py")
    assert (after[0], after[1] != before[1]) == (before[0], True)
    before, after = after, edited("compiled/instructions/rows.py")
    assert not set(after) & set(before)


def test_with_bounds_checked_a_kernel_says_that_it_left_an_array(small: Path) -> None:
    program = (
        PREPARED + "from small import at\ntry: at(np.zeros(2), 7)\nexcept IndexError as error: print(error)"
    )
    printed, _ = run(program, PYTHONPATH=small, NONZERO_CACHE_DIR=small, NUMBA_BOUNDSCHECK="1")
    assert printed == "at() reached outside of an array"


@pytest.fixture
def beside(small: Path) -> dict[str, Any]:
    """The environment of a process that has a companion."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a companion needs a second core")
    (small / "here.py").write_text("def of_this_folder(): pass")
    return {"PYTHONPATH": small, "NONZERO_CACHE_DIR": small / "cache"}


def test_what_the_companion_compiles_the_first_process_does_not(beside: dict[str, Any]) -> None:
    program = BESIDE + "while not (where / 'small.at').exists(): time.sleep(0.01)\n" + RUN
    assert run(program, **beside) == ("2.0 False", "")


def test_the_companion_goes_on_with_modules_that_it_is_told_of(beside: dict[str, Any]) -> None:
    told = BESIDE.replace('["small"]', '["nonzero.fields.hashing"]') + "companion.add(['small'])\n"
    wait = (
        "until = time.monotonic() + 30\nwhile not (where / 'small.at').exists() and time.monotonic() < until:"
    )
    places = f"{beside['PYTHONPATH']}:{Path(nonzero.__file__).parent.parent}"
    program = f"{told}{wait}\n    time.sleep(0.01)\n{RUN}"
    assert run(program, **beside | {"PYTHONPATH": places})[0] == "2.0 False"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_where_the_companion_died_the_first_process_compiles(beside: dict[str, Any], end: int) -> None:
    program = BESIDE + f"time.sleep(0.3)\nos.kill(second, {int(end)})\n" + RUN
    assert run(program, **beside)[0] == "2.0 True"


def arguments(process: Path) -> str:
    """Return the command of a process in /proc; none where it has ended."""
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_the_companion_ends_with_the_first_process(beside: dict[str, Any]) -> None:
    process = start(BESIDE + "print(second, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)", **beside)
    second = Path("/proc") / process.communicate()[0].strip()
    until = time.monotonic() + 30
    while "small" in arguments(second):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert not list(beside["NONZERO_CACHE_DIR"].glob("*/small.at"))


def test_with_one_core_or_nowhere_to_keep_it_the_first_process_compiles_alone(beside: dict[str, Any]) -> None:
    alone = "import os\nos.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n" + BESIDE
    assert run(alone + "print(second)" + RUN, **beside)[0] == "None\n2.0 True"
    small = beside["PYTHONPATH"]
    for name in ("file", f"nonzero-{os.getuid()}"):
        (small / name).write_text("")
    nowhere = beside | {"NONZERO_CACHE_DIR": small / "file", "TMPDIR": small}
    assert run(BESIDE + "print(second)", **nowhere)[0] == "None"


class Columns(NamedTuple):
    numbers: Any
    grid: Any


@kernel(types.void(types.uint32[::1]))
def clear(numbers):
    """Set every number to 0."""
    for i in range(numbers.size):
        numbers[i] = 0


@kernel(types.uint32(types.Array(types.uint32, 1, readonly=True), types.uint8))
def times(numbers, factor):
    """Return the sum, so many times."""
    total = np.uint32(0)
    for i in range(numbers.size):
        total += numbers[i]
    return total * np.uint32(factor)


@inlined
def halved(number):
    return number / np.float32(2)


COLUMNS = types.NamedTuple((types.int16[::1], types.float32[:, ::1]), Columns)


@kernel(types.UniTuple(types.int64, 2)(COLUMNS))
def shape(columns):
    return columns.grid.shape[0] * columns.numbers[0], columns.grid.shape[1]


@kernel(types.float32(types.NamedUniTuple(types.float32[::1], 2, Columns)))
def half(columns):
    return halved(columns.numbers[0] + columns.grid[0])


def test_arguments_arrive_and_results_come_back() -> None:
    numbers = np.array([1, 2**32 - 4], np.uint32)
    assert times(numbers, np.uint8(1)) == 2**32 - 3
    assert clear(numbers) is None
    assert numbers.tolist() == [0, 0]
    assert shape(Columns(np.array([-3], np.int16), np.zeros((2, 5), np.float32))) == (-6, 5)
    assert half(Columns(np.ones(1, np.float32), np.full(1, 2, np.float32))) == 1.5
    assert (times.__name__, times.__doc__) == ("times", "Return the sum, so many times.")


def test_what_may_be_read_only_is_read_and_what_is_written_may_not(tmp_path: Path) -> None:
    np.array([1, 2], np.uint32).tofile(tmp_path / "numbers")
    mapped = np.memmap(tmp_path / "numbers", np.uint32, "r")
    assert times(mapped, 2) == 6
    with pytest.raises(TypeError, match="writeable"):
        clear(mapped)


@pytest.mark.parametrize(
    "numbers",
    [
        None,
        [1, 2],
        np.zeros(2, np.int32),
        np.zeros(2, np.float32),
        np.zeros(2, np.uint64),
        np.zeros(2, ">u4"),
        np.zeros((1, 2), np.uint32),
        np.zeros((), np.uint32),
        np.zeros(4, np.uint32)[::2],
        np.zeros(9, np.uint8)[1:].view(np.uint32),
    ],
    ids=lambda array: f"{type(array).__name__} {getattr(array, 'dtype', '')}{getattr(array, 'shape', '')}",
)
def test_arrays_of_other_types_are_refused(numbers: Any) -> None:
    with pytest.raises(TypeError, match="numbers a C-contiguous, writeable uint32 array of 1 dimension"):
        clear(numbers)


@pytest.mark.parametrize("factor", [256, -1, 2**64, 1.0, "1", None])
def test_numbers_that_do_not_fit_are_refused(factor: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        times(np.zeros(2, np.uint32), factor)


@pytest.mark.parametrize("columns", [None, [], (), (np.zeros(1, np.int16),), np.zeros(2)])
def test_tuples_of_another_length_are_refused(columns: Any) -> None:
    with pytest.raises(TypeError, match="columns a tuple of 2"):
        shape(columns)


def test_another_number_of_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match="2 arguments"):
        times(np.zeros(2, np.uint32))


def doubled(number):
    return 2 * number


@pytest.mark.parametrize("by_llvm", [False, True])
def test_machine_code_is_loaded_by_us_or_else_by_llvm(by_llvm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def left(_code: bytes, _entry: str) -> None:
        raise NotOursError

    if by_llvm:
        monkeypatch.setattr(loading, "placed", left)
    code = compiled(doubled, types.int64(types.int64))
    assert loading.load(code, doubled)(21) == 42
    with pytest.raises(loading.LoadError):
        loading.load(code, halved.function)


def test_a_thread_inside_a_kernel_keeps_no_process_from_ending(small: Path) -> None:
    program = (
        PREPARED + "import threading, time\nfrom small import at\n"
        "def forever():\n    while True: at(np.zeros(2), 1)\n"
        "for _ in range(3): threading.Thread(target=forever, daemon=True).start()\n"
        "time.sleep(0.1)\nprint('ended')"
    )
    assert run(program, PYTHONPATH=small, NONZERO_CACHE_DIR=small / "cache")[0] == "ended"


def test_what_kernels_call_python_cannot() -> None:
    with pytest.raises(TypeError, match="halved"):
        halved(np.float32(1))
