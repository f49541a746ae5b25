"""The models of a cluster: made whole or not at all, removed at once, given up in steps."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nonzero_service.errors import ModelExistsError, UnknownModelError
from nonzero_service.journal.chain import JournalEntry, JournalRow
from nonzero_service.journal.errors import FencedError, JournalUnreachableError, OutcomeUnknownError
from nonzero_service.journal.postgres.catalogue import Catalogue, Chain, Draft
from nonzero_service.journal.postgres.snapshots import PART, SharedSnapshots
from postgres import Cluster
from shared_database import Hooked
from waiting import until

OPENING = JournalEntry("settings", 1, b"what it starts from")

COUNTS = """
SELECT concat_ws(' ', (SELECT count(*) FROM nonzero.rows), (SELECT count(*) FROM nonzero.keys),
    (SELECT count(*) FROM nonzero.snapshots), (SELECT count(*) FROM nonzero.snapshot_parts))
"""


@pytest.fixture
def snapshots(hooked: Hooked) -> SharedSnapshots:
    return SharedSnapshots(hooked, share=1.0)


@pytest.fixture
def catalogue(hooked: Hooked, snapshots: SharedSnapshots) -> Catalogue:
    return Catalogue(hooked, snapshots)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * PART + 1))
    return path


def test_a_model_comes_with_its_first_row(catalogue: Catalogue, hooked: Hooked) -> None:
    assert catalogue.is_new
    draft = Draft.of("clicks", '{"bits": 12}', OPENING, sequence=9)
    before = round(time.time() * 1000)
    made = catalogue.create(1, draft)
    assert not catalogue.is_new
    assert catalogue.models() == [made]
    assert catalogue.find("clicks") == made
    assert catalogue.find("other") is None
    assert made[1:] == ("clicks", '{"bits": 12}', draft.identity)
    columns = "position, first_sequence, count, kind, version, time_ms, keys_digest, body, digest"
    values = [hooked.ask(f"SELECT {column} FROM nonzero.rows") for column in columns.split(", ")]
    row = JournalRow(*values)
    assert (row.position, row.first_sequence, row.count, row.kind) == (1, 9, 0, "settings")
    assert row.body == OPENING.body
    assert abs(row.time_ms - before) < 60_000
    assert row.digest == row.digest_after(made.identity) == draft.digest
    assert hooked.ask("SELECT base_sequence FROM nonzero.models") == 9
    assert catalogue.chain_at(made.id, 0) == Chain(made.identity, 0, 1)
    assert catalogue.chain_at(made.id, 1) == Chain(draft.digest, 0, 1)
    assert catalogue.chain_at(made.id, 2) == Chain(None, 0, 1)
    assert catalogue.row_bytes(made.id, 0) == catalogue.row_bytes(made.id, 0, 1) == len(OPENING.body)
    assert catalogue.row_bytes(made.id, 1) == catalogue.row_bytes(made.id, 0, 0) == 0


def test_it_comes_with_its_snapshot(
    catalogue: Catalogue, snapshots: SharedSnapshots, hooked: Hooked, file: Path
) -> None:
    seen = []
    hooked.before_each(lambda: seen.append(hooked.ask("SELECT count(*) FROM nonzero.models")))
    made = catalogue.create(1, Draft.of("clicks", "{}", OPENING, 5), file)
    hooked.before_each(None)
    assert set(seen) == {0}
    newest = snapshots.newest(made.id)
    assert newest is not None
    assert (newest.position, newest.needed_from) == (1, 2)
    snapshots.fetch(newest, file.with_name("fetched"))
    assert file.with_name("fetched").read_bytes() == file.read_bytes()


def test_a_name_is_taken_once(catalogue: Catalogue, hooked: Hooked, file: Path) -> None:
    made: list[int] = []
    waiting = threading.Barrier(6)

    def make(_: int) -> None:
        draft = Draft.of("clicks", "{}", OPENING)
        waiting.wait()
        try:
            made.append(catalogue.create(1, draft).id)
        except ModelExistsError as error:
            assert "'clicks'" in str(error)  # noqa: PT017 - some of them

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(make, range(6)))
    assert [model.id for model in catalogue.models()] == made
    assert hooked.ask("SELECT count(*) FROM nonzero.rows") == 1
    with pytest.raises(ModelExistsError):
        catalogue.create(1, Draft.of("clicks", "{}", OPENING), file)
    assert hooked.ask("SELECT count(*) FROM nonzero.snapshot_parts") == 0


@pytest.mark.parametrize("trained", [False, True])
def test_nothing_is_made_under_another_term(
    catalogue: Catalogue, hooked: Hooked, file: Path, *, trained: bool
) -> None:
    hooked.before_statement(
        lambda statement: (
            hooked.ask("UPDATE nonzero.term SET term = 2")
            if "INSERT INTO nonzero.models" in statement
            else None
        )
    )
    with pytest.raises(FencedError):
        catalogue.create(1, Draft.of("clicks", "{}", OPENING), file if trained else None)
    hooked.before_statement(None)
    assert catalogue.models() == []
    assert catalogue.is_new
    catalogue.sweep(2)  # gives up the parts
    assert hooked.ask(COUNTS) == "0 0 0 0"


def test_a_kill_before_it_is_made(catalogue: Catalogue, hooked: Hooked, file: Path) -> None:
    hooked.before_statement(
        lambda statement: hooked.kill_next() if "INSERT INTO nonzero.models" in statement else None
    )
    with pytest.raises(OutcomeUnknownError, match="'clicks'"):
        catalogue.create(1, Draft.of("clicks", "{}", OPENING), file)
    hooked.before_statement(None)
    assert catalogue.models() == []
    made = catalogue.create(1, Draft.of("clicks", "{}", OPENING), file)
    catalogue.sweep(1)
    assert hooked.ask(COUNTS) == "1 0 1 3"
    assert hooked.ask("SELECT DISTINCT model FROM nonzero.snapshot_parts") == made.id


def test_a_removed_model_gives_its_name_back(catalogue: Catalogue, hooked: Hooked, file: Path) -> None:
    first = catalogue.create(1, Draft.of("clicks", "{}", OPENING), file)
    with pytest.raises(FencedError):
        catalogue.remove(2, "clicks")
    with pytest.raises(UnknownModelError, match="'other'"):
        catalogue.remove(1, "other")
    assert catalogue.remove(1, "clicks") == first
    assert catalogue.models() == []
    assert not catalogue.is_new
    assert catalogue.is_removed(first.identity)
    with pytest.raises(UnknownModelError):
        catalogue.remove(1, "clicks")
    second = catalogue.create(1, Draft.of("clicks", "{}", OPENING))
    assert second.id > first.id
    assert second.identity != first.identity
    assert not catalogue.is_removed(second.identity)
    assert catalogue.sweep(1, in_use=[first.id]) == 0
    assert hooked.ask(COUNTS) == "2 0 1 3"
    assert catalogue.sweep(1) == 1
    assert hooked.ask(COUNTS) == "1 0 0 0"
    assert catalogue.sweep(1) == 0
    assert catalogue.is_removed(first.identity)  # a node that was away asks
    assert catalogue.create(1, Draft.of("third", "{}", OPENING)).id > second.id


def test_what_a_removed_model_had_goes_in_steps_that_go_on(
    catalogue: Catalogue, hooked: Hooked, file: Path
) -> None:
    made = catalogue.create(1, Draft.of("clicks", "{}", OPENING), file)
    other = catalogue.create(1, Draft.of("other", "{}", OPENING))
    for model in made.id, other.id:
        hooked.ask(
            "INSERT INTO nonzero.rows SELECT %s, 1 + n, 0, 1, 'batch', 1, 0, '', "
            "CASE WHEN n < 6 THEN decode(repeat('00', 2000000), 'hex') ELSE 'x' END, '', 1 "
            "FROM generate_series(1, 2000) AS n",
            model,
        )
        hooked.ask(
            "INSERT INTO nonzero.keys SELECT %s, n, 0, 'x', 'x' FROM generate_series(1, 1500) AS n", model
        )
    catalogue.remove(1, "clicks")
    steps: list[int] = []

    def kill(statement: str) -> None:
        if "DELETE" in statement:
            steps.append(1)
            if len(steps) % 3 == 0:
                hooked.kill_next()

    hooked.before_statement(kill)
    killed = 0
    while True:
        try:
            assert catalogue.sweep(1) == 1
        except JournalUnreachableError:
            killed += 1
        else:
            break
    hooked.before_statement(None)
    assert killed > 4
    assert hooked.ask(COUNTS) == "2001 1500 0 0"
    assert hooked.ask("SELECT DISTINCT model FROM nonzero.rows") == other.id
    catalogue.remove(1, "other")
    with pytest.raises(FencedError):
        catalogue.sweep(2)


def test_a_wait_for_the_standby_that_ends_early(breakable: Cluster) -> None:
    hooked = Hooked(f"{breakable.primary.url}?target_session_attrs=any")
    catalogue = Catalogue(hooked, SharedSnapshots(hooked))
    catalogue.create(1, Draft.of("first", "{}", OPENING))  # the next numbers need no standby
    breakable.standby.stop_signal()
    query = "SELECT {}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def end(how: str) -> None:
        until(lambda: hooked.ask(query.format(how)))

    with ThreadPoolExecutor() as threads:
        for name, how in ("cancelled", "pg_cancel_backend"), ("terminated", "pg_terminate_backend"):
            ended = threads.submit(end, how)
            with pytest.raises(OutcomeUnknownError, match=f"'{name}'"):
                catalogue.create(1, Draft.of(name, "{}", OPENING))
            ended.result()
    breakable.standby.cont()
    assert [model.name for model in catalogue.models()] == ["cancelled", "first", "terminated"]
    hooked.close()
