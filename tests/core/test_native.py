"""What kernels refuse, and that none runs but the machine code of the sources that are there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xxhash import xxh3_64_hexdigest

import nonzero
from builder import builder
from kernels import Columns, at, clear, half, halved, shape, times
from nonzero.arithmetic.intrinsics import root
from nonzero.native import layout, loading

ROOT = Path(__file__).parents[2]
PACKAGE = Path(nonzero.__file__).parent
BUILD = "core/nonzero/native/build"

STREAM = r"""
from hashlib import sha256
from core.streams import random_batch
from nonzero import FTRL, AdaGrad, DualAveraging, LogisticRegression, formats

made = sha256()
rows = b'{"label":%d,"weight":2,"features":{"a":"b%d","c":0.%d,"d":["e\\u00e9","f"]}}\n'
line = b"%d %d.5 |f a=b%d c:%d.25e-1 d |g x%d y\n"
texts = {
    "vw": b"".join(line % (i % 2 or -1, i % 5, i % 7, i, i % 11) for i in range(300)),
    "ndjson": b"".join(rows % (i % 2, i % 7, i) for i in range(300)),
    "libsvm": b"1 1:2.5 3:1\n-1 7:0.125\n" * 50,
    "csv": b"label,a,b\n" + b"1,x,0.25\n0,y,\n" * 50,
}
batches = [formats.parse(text, name) for name, text in texts.items()]
eight = (AdaGrad(0.1), AdaGrad(0.3), FTRL(0.1, l1=0.01), FTRL(0.3), DualAveraging(0.1), *[AdaGrad(0.05)] * 3)
for optimizer in (None, AdaGrad(0.2), FTRL(0.1), DualAveraging(0.1, l1=0.01), eight):
    for interactions in ((), ("f*g",)):
        model = LogisticRegression(10, optimizer, interactions=interactions, recalibrated=True)
        for batch in (random_batch(3, n=2000, slots=1024, most=70, weighted=True), *batches):
            model.learn(batch)
        made.update(model.digest().encode() + model.predict(random_batch(4, slots=1024)).tobytes())
print(made.hexdigest())
"""
"""The digest of what readers and all rules make of one stream."""


def run(program: str, *path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process in which nothing of ours is set but this."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NONZERO_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=ours | environment | {"PYTHONPATH": os.pathsep.join(map(str, path or sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_library_gives_the_same_bits() -> None:
    libraries = [*loading.usable_targets(), "checked"]
    done = [run(STREAM, NONZERO_KERNELS=library) for library in libraries]
    assert [one.stderr for one in done] == [""] * len(done)
    assert len({one.stdout for one in done}) == 1


def test_a_cpu_is_given_what_it_can_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("one library serves all of these")
    every = loading.V4 | {"sse2"}
    for flags, targets in (
        (every, ["x86-64-v4", "x86-64-v3", "x86-64-v2"]),
        (every - {"avx512vl"}, ["x86-64-v3", "x86-64-v2"]),
        (every - {"fma"}, ["x86-64-v2"]),
        (every - {"popcnt"}, []),
    ):
        (tmp_path / "cpuinfo").write_text(f"model name\t: any\nflags\t\t: {' '.join(flags)}\n")
        monkeypatch.setattr(loading, "CPU", tmp_path / "cpuinfo")
        assert loading.usable_targets() == targets


# -- what is refused at import -----------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the library's package, and its kernels."""
    shutil.copytree(PACKAGE, tmp_path / "nonzero", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def import_error(of: Path, module: str = "nonzero") -> str:
    """Return the last line of what an import says that fails."""
    done = run(f"import {module}", of)
    assert done.returncode == 1, done
    return done.stderr.splitlines()[-1]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("kernels/entry_points.py", "nonzero.kernels.entry_points"),
        ("formats/libsvm.py", "nonzero.formats.libsvm"),
        ("formats/numbers.py", "nonzero.formats.libsvm"),
        ("native/build/instructions/text.py", "nonzero.batches.checking"),
    ],
)
def test_an_edited_source_is_not_run_as_what_it_was(copy: Path, file: str, module: str) -> None:
    with (copy / "nonzero" / file).open("a") as source:
        source.write("# edited\n")
    said = import_error(copy, module)
    assert f"the kernels of {module} are older than their sources: nonzero/{file} " in said
    assert "`make kernels`" in said


def test_edits_of_what_no_kernel_needs_are_none_of_theirs(copy: Path) -> None:
    for file in ("model.py", "formats/reading.py", "native/loading.py"):
        with (copy / "nonzero" / file).open("a") as source:
            source.write("# edited\n")
    assert run("import nonzero, nonzero.formats.vw, nonzero.formats.ndjson", copy).returncode == 0


def test_a_kernel_that_is_new_must_be_built_first(copy: Path) -> None:
    new = "from nonzero.native import kernel, types\n@kernel(types.void())\ndef none(): pass\n"
    (copy / "nonzero/new.py").write_text(new)
    assert "the kernels of nonzero.new are older" in import_error(copy, "nonzero.new")


@pytest.mark.parametrize("file", ["so", "json"])
def test_without_its_library_the_package_says_how_to_get_one(copy: Path, file: str) -> None:
    target = loading.usable_targets()[0]
    (copy / f"nonzero/native/lib/{target}.{file}").unlink()
    said = import_error(copy)
    assert f"there are no kernels for {target}" in said
    assert "`make kernels`" in said


def test_within_a_zip_file_it_says_that_it_must_be_unpacked(copy: Path) -> None:
    archive = Path(shutil.make_archive(str(copy / "archive"), "zip", copy, "nonzero"))
    said = import_error(archive)
    assert said.startswith("ImportError: Nonzero cannot be imported from within a file, ")
    assert f"{archive}/" in said
    assert said.endswith("install Nonzero, or unpack it")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("file", ["so", "json"])
@pytest.mark.parametrize("missing", [1, 0.5, 0.01])
def test_a_library_that_was_cut_short_is_refused(copy: Path, file: str, missing: float) -> None:
    target = loading.usable_targets()[0]
    damaged = copy / f"nonzero/native/lib/{target}.{file}"
    os.truncate(damaged, int(damaged.stat().st_size * (1 - missing)))
    said = import_error(copy)
    assert f"there are no kernels for {target}" in said
    assert "`make kernels`" in said


def test_a_library_of_another_build_is_refused(copy: Path) -> None:
    """As where a build ended between the two files."""
    best, *others = (
        copy / f"nonzero/native/lib/{name}.so" for name in (*loading.usable_targets(), "checked")
    )
    shutil.copy(others[0], best)
    assert "is not as it was linked" in import_error(copy)


def test_a_library_of_another_machine_is_refused(copy: Path) -> None:
    library = copy / f"nonzero/native/lib/{loading.usable_targets()[0]}.so"
    library.write_bytes(b"\x7fELF" + bytes(60))
    made_of = library.with_suffix(".json")
    text = json.loads(made_of.read_bytes())
    text[""]["library"] = xxh3_64_hexdigest(library.read_bytes())
    made_of.write_text(json.dumps(text))
    assert "there are no kernels for" in import_error(copy)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("DATA", "the address"),
        ("DIMENSIONS", "the number of dimensions"),
        ("SHAPE", "the strides"),
        ("STRIDES", "the strides"),
        ("DTYPE", "the dtype"),
        ("FLAGS", "the flags"),
        ("ITEM_SIZE", "the size of an item"),
        ("KIND", "the kind of the dtype"),
        ("BYTE_ORDER", "the byte order"),
        ("TYPE", "the type"),
    ],
)
def test_arrays_that_look_otherwise_are_refused_by_what_differs(
    name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.check()
    monkeypatch.setattr(layout, name, getattr(layout, name) + 1)
    with pytest.raises(ImportError, match=f"numpy {np.__version__}: {what} is not where they look"):
        layout.check()


def test_a_python_without_its_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "abiflags", "t")
    with pytest.raises(ImportError, match="free-threaded"):
        layout.check()


def test_nothing_of_the_compiler_is_imported_when_everything_has_run() -> None:
    program = (
        STREAM + "import sys\nprint(sorted({'numba', 'llvmlite', 'nonzero.native.build'} & {*sys.modules}))\n"
    )
    assert run(program).stdout.splitlines()[-1] == "[]"


# -- building ----------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, with what was built of it."""
    for name in ("core", "service", "build/kernels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def build(checkout: Path) -> str:
    """Build the kernels; return what was said."""
    done = subprocess.run([builder(), BUILD], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kernel_that_cannot_be_compiled_is_named_with_the_reason_and_the_line(checkout: Path) -> None:
    source = checkout / "core/nonzero/batches/checking.py"
    kernel = "@kernel(types.int64(types.float32[::1]))\n"
    wrong = f"{kernel}def wrong(x):\n    return minimum(x, x)\n\n\n{kernel}"
    text = "from nonzero.arithmetic.intrinsics import minimum\n" + source.read_text().replace(
        kernel, wrong, 1
    )
    source.write_text(text.replace("from __future__ import annotations\n", ""))
    done = subprocess.run([builder(), BUILD], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nonzero.batches.checking.wrong cannot be compiled. No implementation of" in done.stderr
    assert "minimum(array(float32, 1d, C), array(float32, 1d, C))" in done.stderr
    assert "return minimum(x, x)" in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_an_edit_compiles_what_it_touches_and_nothing_else(checkout: Path) -> None:
    source = checkout / "core/nonzero/batches/checking.py"
    text = source.read_text()
    source.write_text(text + "# no kernel sees this\n")
    assert build(checkout) == ""
    assert run("import nonzero", checkout / "core").returncode == 0
    kernel = "@kernel(types.int64(types.float32[::1]))\n"
    source.write_text(text.replace(kernel, f"{kernel}def twice(x):\n    return 2 * x.size\n\n\n{kernel}"))
    said = build(checkout)
    assert said.startswith("Compiling 1 kernel for ")
    program = (
        "import numpy as np\nfrom nonzero.batches.checking import twice\n"
        "print(twice(np.zeros(3, np.float32)))"
    )
    assert run(program, checkout / "core").stdout == "6\n"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("file", ["so", "json"])
def test_a_library_that_was_cut_short_is_linked_again(checkout: Path, file: str) -> None:
    damaged = checkout / f"core/nonzero/native/lib/{loading.usable_targets()[0]}.{file}"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-5000])
    assert build(checkout) == ""
    assert damaged.read_bytes() == whole
    assert run("import nonzero", checkout / "core").returncode == 0


def test_a_library_is_linked_without_a_compiler_too(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang")
    monkeypatch.setenv("PATH", "")
    for library in (checkout / "core/nonzero/native/lib").iterdir():
        library.unlink()
    assert build(checkout) == ""
    assert run(STREAM, checkout / "core", ROOT / "tests").stdout == run(STREAM).stdout


# -- calls -------------------------------------------------------------------------------------------------


def test_with_bounds_checked_a_kernel_says_that_it_left_an_array() -> None:
    program = "import numpy as np\nfrom kernels import at\nat(np.zeros(2), 7)"
    done = run(program, NONZERO_KERNELS="checked")
    assert done.stderr.splitlines()[-1] == "IndexError: at() reached outside of an array"


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


def test_a_thread_inside_a_kernel_keeps_no_process_from_ending() -> None:
    program = (
        "import threading, time\nimport numpy as np\nfrom kernels import at\n"
        "def forever():\n    while True: at(np.zeros(2), 1)\n"
        "for _ in range(3): threading.Thread(target=forever, daemon=True).start()\n"
        "time.sleep(0.1)\nprint('ended')"
    )
    assert run(program).stdout == "ended\n"


def test_what_kernels_call_is_plain_python_to_python_but_for_instructions() -> None:
    assert halved(np.float32(3)) == 1.5
    assert at(np.array([1.0, 2.0]), 1) == 2
    with pytest.raises(TypeError, match="root is an instruction"):
        root(np.float32(1))
