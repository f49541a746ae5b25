"""The servers that other tests keep journals in: what one has answered, the other has."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from machine import has_ended
from postgres import Cluster
from waiting import until


def test_databases_are_empty_and_apart(postgres: Cluster) -> None:
    one, two = postgres.database(), postgres.database("two of them")
    with psycopg.connect(one, autocommit=True) as connection:
        connection.execute("CREATE TABLE seen (x int)")
    with psycopg.connect(two) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM seen")


def test_what_was_answered_outlives_the_primary(breakable: Cluster) -> None:
    url = breakable.database("rows")
    writing = f"{url}?target_session_attrs=read-write"
    with psycopg.connect(writing, autocommit=True) as connection:
        connection.execute("CREATE TABLE seen (x int)")
        for x in range(20):
            connection.execute("INSERT INTO seen VALUES (%s)", [x])
    with psycopg.connect(f"{url}?target_session_attrs=standby") as connection:
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (20,)
    for x in (20, 21):
        first = breakable.primary
        breakable.fail_over()
        assert breakable.primary is not first
        with psycopg.connect(writing, autocommit=True) as connection:
            connection.execute("INSERT INTO seen VALUES (%s)", [x])
            assert connection.execute("SELECT count(*) FROM seen").fetchone() == (x + 1,)
        breakable.rejoin()


def test_a_stopped_server_keeps_waiting_and_goes_on(breakable: Cluster) -> None:
    primary = breakable.primary
    primary.stop_signal()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(f"{primary.url}?connect_timeout=2")
    primary.cont()
    assert primary.ask("SELECT 1") == 1


RUN = """
import sys, time
from postgres import postgresql
with postgresql() as cluster:
    print(cluster.primary.pid, cluster.primary.data, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_who_began_it(how: signal.Signals) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        pid, data = process.stdout.readline().split()
        assert Path(data).exists()
        process.send_signal(how)
        process.wait()
    until(lambda: has_ended(int(pid)))
    shutil.rmtree(Path(data).parent, ignore_errors=True)
