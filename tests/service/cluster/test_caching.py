"""A node's disk is a cache: an empty one is filled, another model's put away; a kill leaves no trace."""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from nonzero import LogisticRegression, SnapshotError
from nonzero_service.cluster.caching import IDENTITY, CachedIdentity
from nonzero_service.journal.errors import DiskFullError, PrunedError
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.models.model_config import config_of
from nonzero_service.models.snapshot_files import write_snapshot
from service.cluster.cached import Node, Writer, bringing
from service.uninterrupted import batch, flip
from shared_database import Hooked


@pytest.fixture
def writer(hooked: Hooked, tmp_path: Path) -> Writer:
    return Writer(hooked, tmp_path / "a")


@pytest.fixture
def node(hooked: Hooked, tmp_path: Path) -> Node:
    return Node(hooked, tmp_path / "b")


def test_an_empty_disk_from_the_rows_alone(writer: Writer, node: Node) -> None:
    writer.learn(5)
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == []
    assert config_of(node.place / "clicks").bits == 10
    said = CachedIdentity(writer.made.id, writer.made.identity)
    assert CachedIdentity.of(node.place / "clicks") == said == CachedIdentity.of(writer.directory)


def test_an_empty_disk_from_what_is_shared_and_the_rows_behind_it(writer: Writer, node: Node) -> None:
    writer.learn(3)
    writer.share()
    writer.learn(3)
    writer.share()
    writer.journal.truncate(5)
    writer.learn(2)
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == [7]
    writer.learn(2)
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == [7]


def test_a_trained_model(hooked: Hooked, node: Node, tmp_path: Path) -> None:
    model = LogisticRegression(10)
    model.learn(batch(0))
    writer = Writer(hooked, tmp_path / "a", model=model)
    assert node.brought(writer.made).digest() == model.digest()
    writer.learn(2)
    assert node.brought(writer.made).digest() == model.digest()
    assert node.positions() == writer.positions() == [1]
    assert config_of(node.place / "clicks") == config_of(writer.directory)


def test_what_is_here_is_kept_where_the_rows_behind_it_are_few(writer: Writer, node: Node) -> None:
    writer.learn(2)
    writer.share()
    node.brought(writer.made)
    writer.learn(1)
    writer.share()
    node.brought(writer.made)
    assert node.positions() == [3]
    writer.learn(1, nonzeros=9_000)
    newest = writer.share()
    assert node.catalogue.row_bytes(writer.made.id, 3, newest.position) > newest.nbytes
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == [newest.position, 3]


def test_what_is_here_is_of_no_use_where_the_rows_behind_it_are_gone(writer: Writer, node: Node) -> None:
    writer.learn(2)
    writer.share()
    node.brought(writer.made)
    for _ in range(2):
        writer.learn(1)
        writer.share()
    writer.journal.truncate(5)  # the snapshot at 3 is followed by the row at 4
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == [5, 3]


@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_here_is_of_another_history(writer: Writer, node: Node, *, ahead: bool) -> None:
    writer.learn(2)
    writer.share()
    node.brought(writer.made)
    other = LogisticRegression.load(node.place / "clicks/snapshots" / f"{3:020d}.safetensors")
    other.learn(batch(99))
    folder = SnapshotFolder(node.place / "clicks/snapshots")
    # The node has followed rows that the database has lost.
    write_snapshot(folder, 9 if ahead else 4, bytes(16), other.packed())
    writer.learn(3)
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == [3]
    assert len(folder.damaged()) == 1


def test_what_is_here_is_damaged(writer: Writer, node: Node) -> None:
    writer.learn(2)
    writer.share()
    node.brought(writer.made)
    path = node.place / "clicks/snapshots" / f"{3:020d}.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert node.brought(writer.made).digest() == writer.model.digest()
    flip(path)
    assert node.brought(writer.made).digest() == writer.model.digest()  # the start puts it aside


@pytest.mark.parametrize("how", ["a part", "the file that was sent"])
def test_what_is_shared_is_damaged(
    writer: Writer, node: Node, hooked: Hooked, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer.learn(2)
    writer.share()
    writer.learn(2)
    if how == "a part":
        writer.share()
        hooked.ask(
            "UPDATE nonzero.snapshot_parts SET body = set_byte(body, 999, get_byte(body, 999) # 1) "
            "WHERE position = 5"
        )
    else:
        path = write_snapshot(writer.folder, 5, writer.journal.digest_at(5), writer.model.packed()).path
        flip(path)
        writer.snapshots.put(1, writer.made.id, 5, path)
    writer.journal.truncate(4)
    writer.learn(1)
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert node.positions() == [3]
    assert "position" in caplog.text or not caplog.text
    assert not list((node.place / "clicks/snapshots").glob(".*"))


def test_it_is_given_up_while_it_is_fetched(writer: Writer, node: Node, hooked: Hooked) -> None:
    writer.learn(2)
    first = writer.share()
    given_up: list[int] = []

    def give_up(statement: str) -> None:
        if "LEFT JOIN nonzero.snapshot_parts" in statement and not given_up:
            given_up.append(first.position)
            for _ in range(2):
                writer.learn(2)
                writer.share()
            writer.snapshots.prune(1, writer.made.id)
            writer.journal.truncate(6)

    hooked.before_statement(give_up)
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert given_up
    assert node.positions() == [7]


def test_it_is_given_up_again_and_again(writer: Writer, node: Node, hooked: Hooked) -> None:
    writer.learn(1)
    writer.share()
    busy: list[int] = []

    def give_up(statement: str) -> None:
        if "LEFT JOIN nonzero.snapshot_parts" in statement and not busy:
            busy.append(1)
            hooked.ask(
                "UPDATE nonzero.snapshots SET position = position + 1, digest = uuid_send(gen_random_uuid())"
            )
            busy.clear()

    hooked.before_statement(give_up)
    with pytest.raises(PrunedError, match="take the newest"):
        node.brought(writer.made)


def test_a_full_disk(writer: Writer, hooked: Hooked, small_disk: Path) -> None:
    node = Node(hooked, small_disk / "models")
    node.brought(writer.made)
    writer.learn(2)
    writer.share()
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    with pytest.raises(DiskFullError, match="no space left"):
        node.cache.bring(writer.made)
    assert not list((node.place / "clicks/snapshots").iterdir())
    (small_disk / "filler").unlink()
    assert node.brought(writer.made).digest() == writer.model.digest()


def test_a_kill_at_any_step(writer: Writer, node: Node, hooked: Hooked, tmp_path: Path) -> None:
    for _ in range(2):
        writer.learn(2)
        writer.share()
    writer.journal.truncate(4)
    writer.learn(1)
    other = Node(hooked, tmp_path / "other")
    (other.place / "clicks").mkdir(parents=True)
    (other.place / "clicks/file").touch()  # it is put away first
    killed = 0
    for last in range(1, 40, 5):
        shutil.rmtree(node.place, ignore_errors=True)
        shutil.copytree(other.place, node.place)
        status = bringing(hooked.url, node.place, last).run()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        killed += 1
        assert node.brought(writer.made).digest() == writer.model.digest()
        assert node.positions() == [5]
        assert not list((node.place / "clicks/snapshots").glob(".*"))
    assert killed > 2
    assert status == 0


def test_a_model_that_has_its_name_now(writer: Writer, node: Node, hooked: Hooked) -> None:
    writer.learn(2)
    writer.share()
    node.brought(writer.made)
    (node.place / "clicks/history").write_text("of the first")
    writer.catalogue.remove(1, "clicks")
    writer.cache.remove(writer.made)
    second = Writer(hooked, writer.place)
    second.learn(1)
    assert node.brought(second.made).digest() == second.model.digest()
    assert node.positions() == []
    assert not (node.place / "clicks/history").exists()
    assert [path.name for path in node.place.iterdir()] == ["clicks"]  # removed models are removed


def test_another_database(writer: Writer, node: Node, hooked: Hooked, tmp_path: Path) -> None:
    writer.learn(2)
    writer.share()
    node.brought(writer.made)
    again = Hooked(hooked.url)
    other = Node(again, node.place)
    second = Writer(again, tmp_path / "c")
    assert other.brought(second.made).digest() == second.model.digest()
    assert other.positions() == []
    [kept] = [path for path in node.place.iterdir() if path.name != "clicks"]
    assert kept.name.startswith("clicks.")
    assert [one.position for one in SnapshotFolder(kept / "snapshots").all()] == [3]
    again.close()


def test_models_that_are_not_there(writer: Writer, node: Node, hooked: Hooked, tmp_path: Path) -> None:
    removed = Writer(hooked, tmp_path / "c", "removed")
    for made in writer.made, removed.made:
        node.brought(made)
    (node.place / "stranger").mkdir()
    (node.place / ".unfinished").mkdir()
    (node.place / "a file").touch()
    removed.catalogue.remove(1, "removed")
    node.cache.put_away_others(node.catalogue.models())
    left = sorted(path.name for path in node.place.iterdir())
    assert left[:3] == [".unfinished", "a file", "clicks"]
    assert left[3].startswith("stranger.")
    assert len(left) == 4
    node.cache.put_away_others(node.catalogue.models())
    assert sorted(path.name for path in node.place.iterdir()) == left


def test_a_model_is_removed_here(writer: Writer, node: Node) -> None:
    node.brought(writer.made)
    node.cache.remove(writer.made._replace(identity=bytes(16)))
    assert (node.place / "clicks").exists()
    node.cache.remove(writer.made)
    assert not list(node.place.iterdir())
    node.cache.remove(writer.made)


def test_a_directory_with_a_journal_of_its_own(writer: Writer, node: Node) -> None:
    (node.place / "clicks").mkdir(parents=True)
    (node.place / "clicks/journal.sqlite").touch()
    for refused in (
        lambda: node.cache.bring(writer.made),
        lambda: node.cache.put_away_others([]),
    ):
        with pytest.raises(SnapshotError, match="Name another --data-dir"):
            refused()
    assert (node.place / "clicks/journal.sqlite").exists()


def test_its_identity_is_damaged(writer: Writer, node: Node) -> None:
    node.brought(writer.made)
    (node.place / "clicks" / IDENTITY).write_bytes(Random(1).randbytes(40))
    assert node.brought(writer.made).digest() == writer.model.digest()
    assert len(list(node.place.iterdir())) == 2


def test_its_settings_are_those_that_all_nodes_have(writer: Writer, node: Node) -> None:
    node.brought(writer.made)
    (node.place / "clicks/model.json").write_text(writer.made.config.replace('"bits":10', '"bits":11'))
    node.cache.bring(writer.made)
    assert config_of(node.place / "clicks").bits == 10
