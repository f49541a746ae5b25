"""A start that is refused says why in one last line of the log, and ends with status 1."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from command_line import nonzero
from nonzero_service.models.model_config import ModelConfig
from service.conftest import Start

ADDRESS = "the address cannot be listened on"
MODELS = "the models cannot be opened"
START = "the service cannot start"


class Refused(NamedTuple):
    """A start that is refused."""

    flags: list[str]
    event: str
    reason: str


Prepare = Callable[[Path, ExitStack], Refused]


def port_in_use(_: Path, stack: ExitStack, *more: str) -> Refused:
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port = taken.getsockname()[1]
    reason = f"port {port} of 127.0.0.1: Address already in use; end what listens there, or give another"
    return Refused(["--port", str(port), *more], ADDRESS, reason)


def port_in_use_of_several(place: Path, stack: ExitStack) -> Refused:
    return port_in_use(place, stack, "--workers", "2")


def unknown_host(_: Path, __: ExitStack) -> Refused:
    return Refused(["--host", "no-host.invalid", "--allow-open", "on"], ADDRESS, "of no-host.invalid: ")


def foreign_address(_: Path, __: ExitStack) -> Refused:
    return Refused(["--host", "192.0.2.1", "--allow-open", "on"], ADDRESS, "Cannot assign requested address")


def low_port(_: Path, __: ExitStack) -> Refused:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if os.geteuid() == 0 or lowest == 0:
        pytest.skip("this user may listen on any port")
    return Refused(["--port", str(lowest - 1)], ADDRESS, "Permission denied")


def a_file_as_data_dir(place: Path, _: ExitStack) -> Refused:
    (place / "data").write_text("")
    return Refused([], MODELS, f"Not a directory: '{place / 'data'}")


def no_permission(place: Path, _: ExitStack) -> Refused:
    if os.geteuid() == 0:
        return Refused(["--data-dir", "/proc/nonzero"], MODELS, "/proc/nonzero")
    place.chmod(0o500)
    return Refused([], MODELS, "Permission denied")


def a_locked_data_dir(place: Path, stack: ExitStack) -> Refused:
    (place / "data").mkdir()
    lock = stack.enter_context((place / "data/lock").open("w"))
    lock.write("4711\n")
    lock.flush()
    fcntl.flock(lock, fcntl.LOCK_EX)
    return Refused([], MODELS, "is in use by process 4711")


def another_format(place: Path, _: ExitStack) -> Refused:
    (place / "data").mkdir()
    (place / "data/format").write_text("7\n")
    return Refused([], MODELS, "use a newer one")


def no_file_to_import(place: Path, _: ExitStack) -> Refused:
    return Refused(["--import-file", str(place / "none")], MODELS, str(place / "none"))


def another_file_to_import(place: Path, _: ExitStack) -> Refused:
    directory = place / "data" / "models" / "default"
    directory.mkdir(parents=True)
    origin = ModelConfig(created=datetime.now(UTC), bits=4, file="of another")
    origin.write(directory)
    (place / "file").write_bytes(b"a model")
    return Refused(["--import-file", str(place / "file")], MODELS, "file is not imported: ")


def no_certificate(place: Path, _: ExitStack) -> Refused:
    return Refused(
        ["--ssl-certfile", str(place / "none")], START, f"{place / 'none'} cannot be read: No such"
    )


def a_bad_certificate(place: Path, _: ExitStack) -> Refused:
    (place / "pem").write_text("nonsense")
    return Refused(
        ["--ssl-certfile", str(place / "pem")], START, f"{place / 'pem'}: no certificate with its key"
    )


def no_tokens(place: Path, _: ExitStack) -> Refused:
    return Refused(["--token-file", str(place / "none")], START, f"{place / 'none'} cannot be read: No such")


def bad_tokens(place: Path, _: ExitStack) -> Refused:
    (place / "tokens").write_text("admin short-secret\n")
    return Refused(
        ["--token-file", str(place / "tokens")], START, f"{place / 'tokens'}, line 1: a token has 16"
    )


CASES: list[Prepare] = [
    port_in_use,
    port_in_use_of_several,
    unknown_host,
    foreign_address,
    low_port,
    a_file_as_data_dir,
    no_permission,
    a_locked_data_dir,
    another_format,
    no_file_to_import,
    another_file_to_import,
    no_certificate,
    a_bad_certificate,
    no_tokens,
    bad_tokens,
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def check(refused: Refused, lines: list[dict[str, Any]]) -> None:
    """One event says why, and it is the last."""
    assert [line["event"] for line in lines if line["level"] not in ("info", "debug")] == [refused.event]
    assert lines[-1]["level"] == "error"
    assert lines[-1].keys() == {"event", "level", "reason", "timestamp"}
    assert refused.reason in lines[-1]["reason"]
    assert "short-secret" not in json.dumps(lines)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("prepare", CASES, ids=lambda case: case.__name__)
def test_the_last_line_says_why(serve: Start, tmp_path: Path, stack: ExitStack, prepare: Prepare) -> None:
    refused = prepare(tmp_path, stack)
    flags = iter(refused.flags)
    settings = {name.lstrip("-").replace("-", "_"): next(flags) for name in flags}
    service = serve(Path(settings.pop("data_dir", tmp_path / "data")), **settings)
    assert service.until_ended() == 1
    check(refused, service.log)


def test_a_lost_journal_is_named(serve: Start, tmp_path: Path) -> None:
    first = serve(tmp_path / "data").until_ready()
    with first.client() as client:
        client.post("/v1/models/default/update", json={"features": {"a": 1}, "label": 1})
    assert first.stop() == 0
    journal = tmp_path / "data/models/default/journal.sqlite"
    journal.unlink()
    second = serve(tmp_path / "data")
    assert second.until_ended() == 1
    check(Refused([], MODELS, f"{journal} is gone"), second.log)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("prepare", [port_in_use, a_locked_data_dir], ids=lambda case: case.__name__)
def test_the_command_adds_nothing(tmp_path: Path, stack: ExitStack, prepare: Prepare, form: str) -> None:
    refused = prepare(tmp_path, stack)
    settings = ["--data-dir", str(tmp_path / "data"), "--port", "0", "--bits", "8", "--log-format", form]
    done = nonzero("serve", *settings, *refused.flags)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    if form == "json":
        check(refused, [json.loads(line) for line in lines])
    else:
        assert refused.event in lines[-1]
        assert refused.reason in lines[-1]
        assert all("[info" in line for line in lines[:-1])


def test_every_event_of_a_refusal_is_in_the_page_of_alarms() -> None:
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text()
    for event in (ADDRESS, MODELS, START):
        assert f"`{event}`" in page


def test_variables_of_kubernetes_are_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = {
        "NONZERO_PORT": "tcp://10.0.0.1:8000",
        "NONZERO_SERVICE_HOST": "10.0.0.1",
        "NONZERO_SERVICE_PORT": "8000",
    }
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    done = nonzero("serve", "--token-file", tmp_path / "none", "--data-dir", tmp_path / "data")
    first, last = map(json.loads, done.stderr.splitlines())
    assert first["event"] == "variables of Kubernetes are passed over"
    assert first["variables"] == sorted(links)
    assert last["event"] == START
