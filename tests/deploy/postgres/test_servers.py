"""The primary and the standby of ``compose.cluster.yaml``: made of nothing, and what a failover leaves."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest

from deploy.postgres.servers import NODES_USER, Place, Started, place_for_servers
from waiting import SECONDS

Starts = tuple[Place, Callable[..., Started]]


@pytest.fixture
def servers() -> Iterator[Starts]:
    with place_for_servers() as (place, start):
        place.make_secrets()
        yield place, start


def pair(start: Callable[..., Started]) -> tuple[Started, Started]:
    """Start both at once, as compose does; return when a commit waits for the standby."""
    primary = start("primary", SYNCHRONOUS="standby")
    (primary.volume / "server.new").mkdir(exist_ok=True)  # as a making leaves it that was broken off
    standby = start("standby", FOLLOWS=f"127.0.0.1:{primary.port}")
    standby.until_ready()
    primary.until_ready()
    primary.until_followed()
    return primary, standby


def test_two_servers_are_made_of_nothing(servers: Starts) -> None:
    place, start = servers
    primary, standby = pair(start)
    with primary.connect() as connection:
        connection.execute("CREATE SCHEMA nonzero")  # as the first node does
        connection.execute("CREATE TABLE nonzero.rows (number integer)")
        for number in range(20):
            connection.execute("INSERT INTO nonzero.rows VALUES (%s)", [number])
            assert standby.ask("SELECT max(number) FROM nonzero.rows") == number
    assert standby.ask("SELECT pg_is_in_recovery()") is True
    assert primary.ask("SELECT application_name FROM pg_stat_replication") == "standby"
    # The role of the nodes sees how the standby is doing, and is nothing more than that.
    assert primary.ask("SELECT replay_lsn IS NOT NULL FROM pg_stat_replication") is True
    assert (
        primary.ask("SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = user")
        is False
    )
    for name, value in {
        "synchronous_commit": "remote_apply",
        "data_checksums": "on",
        "fsync": "on",
        "max_standby_streaming_delay": "2s",
    }.items():
        assert {server.ask(f"SHOW {name}") for server in (primary, standby)} == {value}
    # Both go on where they were, whatever they are told to follow.
    for server in (primary, standby):
        server.end()
    again = [
        start("primary", primary.port, FOLLOWS="127.0.0.1:1"),
        start("standby", standby.port, FOLLOWS="127.0.0.1:1"),
    ]
    for server in again:
        server.until_ready()
    again[0].until_followed()
    assert [server.ask("SELECT count(*) FROM nonzero.rows") for server in again] == [20, 20]
    for server in again:
        server.end()
    for path in (place.nodes, place.servers):
        for line in (path / "pgpass").read_text().split():
            assert line.rpartition(":")[2] not in primary.text() + standby.text()


def test_passwords_are_made_once_and_each_file_is_its_readers_own(servers: Starts) -> None:
    place, start = servers
    made = {path: path.read_bytes() for path in (place.servers / "pgpass", place.nodes / "pgpass")}
    assert [text.count(b"\n") for text in made.values()] == [2, 1]
    passwords = [line.rpartition(b":")[2] for line in made[place.servers / "pgpass"].split()]
    assert len(set(passwords)) == 2
    assert all(len(password) == 32 for password in passwords)
    for path in made:
        assert path.stat().st_mode & 0o777 == 0o600  # libpq passes over what others may read
    assert (place.nodes / "pgpass").stat().st_uid == NODES_USER
    if os.geteuid() == 0:
        assert (place.servers / "pgpass").owner() == "postgres"
    (place.nodes / "pgpass").unlink()  # as if it had been broken off between the two
    (place.servers / "pgpass.new").write_text("half")
    place.make_secrets()
    assert {path: path.read_bytes() for path in made} == made

    primary = start("primary")
    primary.until_ready()
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        primary.connect(passfile="/dev/null")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        primary.connect(password="guessed")
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        primary.connect(dbname="postgres")


def test_the_standby_takes_the_primarys_place_and_the_primary_the_standbys(servers: Starts) -> None:
    place, start = servers
    primary, standby = pair(start)
    with primary.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    primary.end(signal.SIGQUIT)  # at once, as a kill does
    standby.own(str(place.scripts / "promote.sh"))
    # What was answered is there, and it waits for nobody.
    assert standby.ask("INSERT INTO kept VALUES (2) RETURNING number") == 2
    assert standby.ask("SELECT count(*) FROM kept") == 2
    # Two primaries must not run: the old one is refused, also as an empty one, and the new one is not.
    assert_refused(start("primary", primary.port), "standby has taken its place. Make it anew")
    shutil.rmtree(primary.volume)
    assert_refused(start("primary", primary.port), "standby is the primary, and")
    standby.end()
    standby = start("standby", standby.port, FOLLOWS=f"127.0.0.1:{primary.port}")
    standby.until_ready()
    old = start("primary", primary.port, FOLLOWS=f"127.0.0.1:{standby.port}", SYNCHRONOUS="standby")
    old.until_ready()
    standby.own(
        "psql",
        "-d",
        "postgres",
        "-qc",
        "ALTER SYSTEM SET synchronous_standby_names = 'primary'",
        "-c",
        "SELECT pg_reload_conf()",
    )
    standby.until_followed()
    assert standby.ask("INSERT INTO kept VALUES (3) RETURNING number") == 3
    assert old.ask("SELECT count(*) FROM kept") == 3
    assert old.ask("SELECT pg_is_in_recovery()") is True


def assert_refused(server: Started, why: str) -> None:
    assert server.process.wait(SECONDS) == 1
    assert f"{server.name} is not started: {why}" in server.text()
