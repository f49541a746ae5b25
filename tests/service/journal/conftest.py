"""Journals of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nonzero_service.journal.postgres.connecting import Database
from postgres import Cluster
from service.journal.kept import Kept, KeptInDatabase, KeptInFile
from service.journal.postgres_models import new_database


@pytest.fixture(scope="module")
def shared(postgres: Cluster) -> Iterator[tuple[str, Database]]:
    url = postgres.database()
    database = new_database(url)
    yield url, database
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, memory_path: Path) -> Kept:
    if request.param == "sqlite":
        return KeptInFile(memory_path)
    url, database = request.getfixturevalue("shared")
    return KeptInDatabase(database, url)
