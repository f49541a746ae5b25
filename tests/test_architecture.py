"""Imports run one way, and each kind of knowledge stands in one place."""

import ast
import functools
import graphlib
import inspect
import itertools
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import nonzero
from nonzero import NonzeroError

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
SERVICE = sorted((ROOT / "service").rglob("*.py"))
CLIENT = sorted((ROOT / "client").rglob("*.py"))
ROOTS = ["core", "service", "client"]
BUILD = ROOT / "core/nonzero/native/build"
JOURNAL = ROOT / "service/nonzero_service/journal"
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|BEGIN|COMMIT|VACUUM)\s+\w")


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path: Path) -> Iterator[str]:
    """Name the top-level packages that a file imports, wherever in it."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def importers(package: str, files: list[Path]) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in files if package in imports(path)}


@functools.cache
def imported_files(root: str) -> dict[str, set[str]]:
    """Return the modules of a source root, and of each the modules that it imports, wherever in it."""
    files = {}
    for path in sorted((ROOT / root).rglob("*.py")):
        files[".".join(path.relative_to(ROOT / root).with_suffix("").parts).removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        for node in nodes(path):
            if isinstance(node, ast.Import):
                found[module].update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                found[module] |= inside & files.keys() or {node.module or ""}
    return {module: (imported & files.keys()) - {module} for module, imported in found.items()}


@pytest.mark.parametrize("root", ROOTS)
def test_no_files_import_each_other_in_a_circle(root: str) -> None:
    try:
        graphlib.TopologicalSorter(imported_files(root)).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


# What stands in a source root, from the ground up: everything may import what stands above it in its table
# here, and nothing that stands below. Names on one line do not import each other.
ORDER = {
    "core": """
        errors          the exceptions
        notebook        what a notebook shows
        untouched       memory that is taken when it is touched
        native          kernels as machine code, and the instructions that they are made of
        arithmetic      eight numbers at once; exp, log and their kin
        fields          names as numbers; what each field is
        batches         checked rows, and their limits
        formats         bytes -> batches
        sources         files -> bytes, read ahead
        kernels         learning and predicting, and what they write down
        statistics      how well it predicts; recalibration
        diagnostics     what a model can say of itself
        persistence     arrays in huge pages, in shared memory, in files
        model           LogisticRegression: its settings, its state, the calls of its kernels
        export          models -> files that others read
        frames          DataFrames -> batches
        sklearn river   a model as others' libraries know one
        __main__        python -m nonzero
    """,
    "service": """
        errors          the exceptions
        faults          what the disk or the system refuses
        incidental      what may fail and keeps nobody waiting
        media_types     how bodies are named
        progress_bar    how far something is, on a terminal
        structlog_import how a process that serves begins to import
        systemd         what the process that started this one is told
        turns           threads that many share
        warming         what a request may run, run once before
        logs            events -> lines
        tracing         the traces that requests belong to
        kafka           topics -> records, each once
        journal         rows, their keys, snapshots; all SQL
        impressions     predictions that wait for their label
        problems        what a client is told
        schema_text     schemas as text and as files
        settings        what an operator sets
        kafka           topics -> records
        metrics         what is counted for Prometheus
        http            sockets -> requests
        budget          descriptors, shared out
        bodies          bytes of bodies -> batches, answers -> bytes
        writer          what waits -> rows of the journal -> the model
        history         what a model was like, and what happened to it
        models          all models and each
        streams         topics -> what models learn from
        listening       sockets that processes share
        workers         the further processes, as the writer has them
        cluster         several nodes that share one database
        service         what routes share
        api             requests -> answers, and how both are described
        app             the application
        server          one process that serves
        predictor       a further process, which predicts
        demo            a log, served and learned from before one's eyes
        cli             the commands
    """,
    "client": """
        version         of the distribution
        problems        what the service says is wrong
        answers         what it answers
        errors          the exceptions
        sources         what a stream is given as -> lines
        values          Python values -> JSON
        columns         what is said of the columns of tables
        csv_records     text -> the records of a table
        rows            tables -> examples
        tables          tables -> slices, as Arrow or as examples
        batches         lines, or examples, that are sent as one
        table_batches   tables -> rows, or records, that are sent as one
        backoff         when it is tried again
        tokens          who asks
        messages        requests and answers
        drivers         a request, sent once
        exchange        a request, sent until it is answered
        asking          what all calls have in common
        totals          the answers to a stream, added up
        learning        calls that a model learns from
        predicting      calls that it answers with probabilities
        managing        calls about models
        challenging     calls about challengers
        calls           all of them
        client          Client and AsyncClient
    """,
}


@pytest.mark.parametrize("root", ROOTS)
def test_folders_import_one_way(root: str) -> None:
    ranks: dict[str, int] = {}
    for rank, line in enumerate(ORDER[root].strip("\n").splitlines()):
        ranks |= dict.fromkeys(line[:24].split(), rank)
    found = {module: module.split(".")[1] for module in imported_files(root) if "." in module}
    assert set(found.values()) - ranks.keys() == set(), "ORDER does not say where these stand"
    wrong = [
        f"{module} imports {other}"
        for module, imported in imported_files(root).items()
        for other in imported
        if module in found and other in found and found[module] != found[other]
        if ranks[found[other]] >= ranks[found[module]]
    ]
    assert sorted(wrong) == []


@pytest.mark.parametrize(
    ("files", "known"),
    [(CORE + SERVICE, ["NonzeroClassifier"]), (CLIENT, [])],
    ids=["nonzero", "nonzero-client"],
)
def test_no_class_name_stands_twice(files: list[Path], known: list[str]) -> None:
    """But for scikit-learn's and river's estimator: nobody has the two in one file."""
    named = [node.name for path in files for node in nodes(path) if isinstance(node, ast.ClassDef)]
    assert sorted(name for name, times in Counter(named).items() if times > 1) == known


def test_the_library_never_imports_the_service() -> None:
    """But for what only ``python -m nonzero`` runs, which is the command line."""
    assert importers("nonzero_service", CORE) == {"core/nonzero/__main__.py"}


EXTRAS = {"frames": {"narwhals"}, "river": {"river"}, "sklearn": {"sklearn"}}
"""The folders of the library that need more than the bare wheel does, and what that is."""

LATE = {
    "formats": ({"pyarrow"}, "formats/arrow_import.py"),
    "export": ({"onnx"}, "export/onnx_import.py"),
    "sources": ({"aiohttp", "fsspec"}, "sources/stores.py"),
}
"""The folders of which a part needs more, what that is, and the one file that imports it."""


def test_the_library_imports_only_what_the_bare_wheel_requires() -> None:
    required = requirements_of("pyproject.toml")
    for folder, files in itertools.groupby(
        CORE, lambda path: path.relative_to(ROOT / "core/nonzero").parts[0]
    ):
        imported = {package for path in files if BUILD not in path.parents for package in imports(path)}
        more = EXTRAS.get(folder, set()) | (LATE[folder][0] if folder in LATE else set())
        assert more <= imported
        # The wheel has both packages.
        assert imported - sys.stdlib_module_names - more <= required | {"nonzero", "nonzero_service"}, folder


@pytest.mark.parametrize("extra", ["river", "sklearn"])
def test_an_extra_brings_what_its_folder_needs(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {re.split(r"[^\w-]", need)[0] for need in project["optional-dependencies"][extra]}
    needed = EXTRAS[extra] | EXTRAS["frames"]
    assert brought == {"scikit-learn" if name == "sklearn" else name for name in needed}


def test_nothing_else_imports_the_folders_of_extras() -> None:
    folders = [ROOT / "core/nonzero" / name for name in EXTRAS]
    pattern = re.compile(rf"^\s*(from|import) nonzero\.({'|'.join(EXTRAS)})\b", re.MULTILINE)
    found = {path for path in CORE + SERVICE if pattern.search(path.read_text())}
    assert found
    assert [path for path in found if not set(folders) & set(path.parents)] == []


def test_who_imports_the_library_imports_nothing_of_extras() -> None:
    program = "import sys, nonzero, nonzero.formats, nonzero_service.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "nonzero_service" in loaded
    assert (
        loaded
        & {
            "aiohttp",
            "fsspec",
            "joblib",
            "narwhals",
            "onnx",
            "pandas",
            "polars",
            "pyarrow",
            "river",
            "sklearn",
        }
        == set()
    )


@pytest.mark.parametrize(("packages", "file"), LATE.values(), ids=LATE)
def test_some_packages_are_imported_in_one_place_when_they_are_asked_for(
    packages: set[str], file: str
) -> None:
    place = ROOT / "core/nonzero" / file
    for package in packages:
        assert importers(package, CORE + SERVICE) == {str(place.relative_to(ROOT))}
    at_once = [node for node in ast.parse(place.read_text()).body if isinstance(node, ast.Import)]
    assert packages.isdisjoint(alias.name.partition(".")[0] for node in at_once for alias in node.names)


def test_parts_of_pyarrow_are_asked_for_by_those_who_import_them() -> None:
    """They are attributes of pyarrow once anything has imported them, and missing in a new process."""
    parts = {"compute", "dataset", "feather", "parquet"}
    reached = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in CORE + SERVICE
        if path.name != "arrow_import.py"
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in parts
        if ast.unparse(node.value) in ("arrow", "pyarrow", "import_arrow()")
    ]
    assert reached == []


def test_what_only_users_and_tests_have_is_not_imported() -> None:
    theirs = {"pandas", "polars", "duckdb", "nanoarrow", "onnxruntime"}
    assert {name: importers(name, CORE + SERVICE) for name in theirs} == {name: set() for name in theirs}


def test_the_client_imports_only_what_its_wheel_requires() -> None:
    required = requirements_of("client/pyproject.toml")
    imported = {package for path in CLIENT for package in imports(path)}
    assert imported - sys.stdlib_module_names == required | {"nonzero_client", "pyarrow"}
    place = ROOT / "client/nonzero_client/tables.py"
    assert importers("pyarrow", CLIENT) == {str(place.relative_to(ROOT))}
    at_once = [
        alias.name for node in ast.parse(place.read_text()).body for alias in getattr(node, "names", ())
    ]
    assert "pyarrow" not in at_once  # where it is not installed, all else works
    locked = (ROOT / "requirements-dev.txt").read_text()
    assert [name for name in required if not re.search(rf"^{name}==", locked, re.MULTILINE)] == []


def requirements_of(file: str) -> set[str]:
    """Name what a distribution requires without its extras."""
    project = tomllib.loads((ROOT / file).read_text())["project"]
    return {re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]}


def test_oracles_import_only_numpy() -> None:
    oracles = sorted((ROOT / "tests").rglob("oracle*.py"))
    assert {package for path in oracles for package in imports(path)} - sys.stdlib_module_names == {"numpy"}


def test_llvm_and_numba_stand_in_one_folder_that_nothing_else_imports() -> None:
    elsewhere = [path for path in CORE + SERVICE if BUILD not in path.parents]
    assert importers("llvmlite", elsewhere) | importers("numba", elsewhere) == set()
    imported = [
        path
        for path in elsewhere
        if re.search(r"^\s*(from|import) nonzero\.native\.build", path.read_text(), re.MULTILINE)
    ]
    assert imported == []


def test_sql_stands_in_one_folder() -> None:
    elsewhere = [path for path in CORE + SERVICE if JOURNAL not in path.parents]
    assert importers("apsw", elsewhere) | importers("sqlite3", elsewhere) == set()
    postgres = [path for path in CORE + SERVICE + CLIENT if JOURNAL / "postgres" not in path.parents]
    assert importers("psycopg", postgres) == set()
    statements = [
        (str(path.relative_to(ROOT)), node.value)
        for path in elsewhere
        for node in nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert statements == []


def test_the_client_of_kafka_stands_in_one_folder_and_is_imported_when_it_is_used() -> None:
    elsewhere = [path for path in CORE + SERVICE + CLIENT if path.parent.name != "kafka"]
    assert importers("confluent_kafka", elsewhere) == set()
    program = "import sys; from nonzero_service.kafka import poison, topic_reader; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "nonzero_service.kafka.polling" in done.stdout.split()
    assert "confluent_kafka" not in done.stdout.split()


@pytest.mark.parametrize("root", ROOTS)
def test_source_roots_are_no_packages(root: str) -> None:
    # As packages they would collide with any other project's `core` in site-packages.
    assert not (ROOT / root / "__init__.py").exists()


def test_what_can_be_had_of_the_package_is_public_and_described() -> None:
    """No name slips in or out by an import: what is there is meant, says what it is, and comes from there."""
    found = {name: value for name, value in vars(nonzero).items() if not name.startswith("_")}
    there = {name for name, value in found.items() if not isinstance(value, ModuleType)}
    assert {*there, "formats"} == set(nonzero.__all__)
    for name in there:
        value = found[name]
        assert inspect.isclass(value), name
        assert value.__doc__, name
        assert value.__name__ == name
        assert issubclass(value, NonzeroError) or not issubclass(value, Exception)


def test_the_service_uses_what_is_public() -> None:
    froms = [node for path in SERVICE for node in nodes(path) if isinstance(node, ast.ImportFrom)]
    used = {alias.name for node in froms if node.module == "nonzero" for alias in node.names}
    assert used
    assert used <= {*nonzero.__all__, "__version__"}


def test_nothing_is_unpickled() -> None:
    """What is read may come from anyone, and names no code to run."""
    runs_code = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "dbm"}
    assert {name: importers(name, CORE + SERVICE + CLIENT) for name in runs_code} == {
        name: set() for name in runs_code
    }
    calls = [
        (str(path.relative_to(ROOT)), node.attr)
        for path in CORE + SERVICE
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in {"load", "fromregex", "memmap"}
        if isinstance(node.value, ast.Name) and node.value.id in {"np", "numpy"}
    ]
    assert calls == []  # np.load would unpickle an array of objects, were it allowed to


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_every_dependency_is_pinned_and_hashed(lock: Path) -> None:
    pinned = re.split(r"(?m)^(?=\w)", re.sub(r"(?m)^ *#.*\n", "", lock.read_text()))[1:]
    assert pinned
    for requirement in pinned:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[^ ]+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
