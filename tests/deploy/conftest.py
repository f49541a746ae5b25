"""Services for what is deployed beside one."""

from __future__ import annotations

from service import conftest

start, clocked, small_disk = conftest.start, conftest.clocked, conftest.small_disk
postgres = conftest.postgres
shared_broker, broker = conftest.shared_broker, conftest.broker
