"""What tests of the shared parts of a cluster begin with: its tables, a term, and connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

TABLES = """
CREATE SCHEMA nonzero;
CREATE TABLE nonzero.term (one boolean PRIMARY KEY DEFAULT true CHECK (one), term bigint NOT NULL, node text, address text, url text, secret bytea);
INSERT INTO nonzero.term (term) VALUES (1);
CREATE TABLE nonzero.models (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, config text NOT NULL, removed boolean NOT NULL DEFAULT false,
  identity bytea NOT NULL, base_position bigint NOT NULL, base_sequence bigint NOT NULL, base_time_ms bigint NOT NULL, base_digest bytea NOT NULL, keys_position bigint NOT NULL, keys_digest bytea NOT NULL);
CREATE UNIQUE INDEX ON nonzero.models (name) WHERE NOT removed;
CREATE TABLE nonzero.rows (model bigint NOT NULL, position bigint NOT NULL, first_sequence bigint NOT NULL, count bigint NOT NULL, kind text NOT NULL, version integer NOT NULL,
  time_ms bigint NOT NULL, keys_digest bytea NOT NULL, body bytea STORAGE EXTERNAL NOT NULL, digest bytea NOT NULL, term bigint NOT NULL, PRIMARY KEY (model, position));
CREATE TABLE nonzero.keys (model bigint NOT NULL, position bigint NOT NULL, time_ms bigint NOT NULL, records bytea NOT NULL, digest bytea NOT NULL, PRIMARY KEY (model, position));
CREATE TABLE nonzero.snapshots (model bigint NOT NULL, position bigint NOT NULL, needed_from bigint NOT NULL, bytes bigint NOT NULL, digest bytea NOT NULL, taken_at timestamptz NOT NULL, PRIMARY KEY (model, position));
CREATE TABLE nonzero.snapshot_parts (model bigint NOT NULL, position bigint NOT NULL, part integer NOT NULL, body bytea NOT NULL, digest bytea NOT NULL, PRIMARY KEY (model, position, part));
ALTER TABLE nonzero.snapshot_parts ALTER body SET STORAGE EXTERNAL;
"""


class Connections:
    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def writing(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    reading = writing
