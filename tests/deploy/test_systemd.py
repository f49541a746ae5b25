"""deploy/systemd/: systemd reads it, it leaves little to attack, and the service does without the rest."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from contained import contained
from nonzero_service.settings import PREFIX, Settings
from nonzero_service.systemd import READY, STOPPING, tell_systemd
from waiting import SECONDS, until

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy/systemd"
UNIT = (FOLDER / "nonzero.service").read_text()
EXPOSURE = 1.2
"""The largest that is allowed: 0 is a service that can do nothing, 10 one that can do everything."""

CREDENTIALS = "/run/credentials/nonzero.service"
STATE = "/var/lib"


def directives() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


SAID = directives()


def environment() -> dict[str, str]:
    """Return the variables of the unit, and those of its file, which win."""
    told = " ".join(SAID["Environment"]).replace("%S", STATE).replace("%d", CREDENTIALS).split()
    lines = (FOLDER / "nonzero.env").read_text().splitlines()
    told += [line for line in lines if line and not line.startswith("#")]
    return dict(pair.split("=", 1) for pair in told)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


# -- what systemd reads ------------------------------------------------------------------------------------


def test_systemd_knows_every_line(tmp_path: Path) -> None:
    """A unit whose program is there, as this one's is where it is installed."""
    installed = tmp_path / "nonzero.service"
    installed.write_text(UNIT.replace("/opt/nonzero/bin/nonzero", sys.executable))
    done = analyze("verify", "--man=no", installed)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)
    installed.write_text(UNIT.replace("/opt/nonzero/bin/nonzero", sys.executable).replace("UMask", "Umask"))
    assert "Umask" in analyze("verify", "--man=no", installed).stderr


def test_it_leaves_little_to_attack() -> None:
    unit = FOLDER / "nonzero.service"
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE * 10:g}", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_user_can_be_made(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed: apt-get install systemd")
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", "--inline"]
    command += [line for line in (FOLDER / "nonzero.sysusers").read_text().splitlines() if line[0] != "#"]
    subprocess.run(command, capture_output=True, check=True)
    users = (tmp_path / "etc/passwd").read_text()
    [(user, home)] = re.findall(r"^(\w+):.*:(/[^:]*):/usr/sbin/nologin$", users, re.MULTILINE)
    assert SAID["User"] == SAID["Group"] == [user]
    assert [home] == [f"{STATE}/{name}" for name in SAID["StateDirectory"]]


# -- what systemd cannot know ------------------------------------------------------------------------------


def test_every_variable_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        assert name.startswith(PREFIX)
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.data_dir == Path(STATE, *SAID["StateDirectory"])
    [(credential, _)] = (one.split(":") for one in SAID["LoadCredential"])
    assert settings.token_file == Path(CREDENTIALS, credential)
    [seconds] = SAID["TimeoutStopSec"]
    assert int(seconds) >= settings.grace_seconds + 15


# -- how it lives ------------------------------------------------------------------------------------------

TOKEN = "a-token-of-this-test"
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
ALLOW, REFUSE = 0x7FFF0000, 0x00050001
EQUAL = 4


def deny_write_execute() -> None:
    """Do what ``MemoryDenyWriteExecute=`` does: from now on no memory becomes executable."""
    if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        raise OSError("this Linux is older than 6.3, and cannot refuse memory that is written and executed")


class Comparison(ctypes.Structure):
    """libseccomp's ``scmp_arg_cmp``."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@contextmanager
def system_call_filter() -> Iterator[int]:
    """Make the filter of ``SystemCallFilter=`` and ``RestrictAddressFamilies=``; give its descriptor."""
    name = ctypes.util.find_library("seccomp")
    if name is None:
        pytest.skip("libseccomp is not installed: apt-get install libseccomp2")
    library = ctypes.CDLL(name)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(REFUSE))
    rule = library.seccomp_rule_add_array
    for call in allowed_calls() - {"socket"}:
        if (number := library.seccomp_syscall_resolve_name(call.encode())) >= 0:
            assert rule(context, ALLOW, number, 0, None) == 0, call
    number = library.seccomp_syscall_resolve_name(b"socket")
    [families] = SAID["RestrictAddressFamilies"]
    for family in families.split():
        equal = Comparison(0, EQUAL, getattr(socket, family))
        assert rule(context, ALLOW, number, 1, ctypes.byref(equal)) == 0
    descriptor = os.memfd_create("filter")
    try:
        assert library.seccomp_export_bpf(context, descriptor) == 0
        library.seccomp_release(context)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def allowed_calls() -> set[str]:
    allowed: set[str] = set()
    for line in SAID["SystemCallFilter"]:
        for name in line.removeprefix("~").split():
            allowed = allowed - calls_of(name) if line.startswith("~") else allowed | calls_of(name)
    assert "execve" in allowed
    return allowed


def calls_of(name: str) -> set[str]:
    """Return the system calls of a set, which may have sets within."""
    done = analyze("syscall-filter", "--no-pager", name)
    assert done.returncode == 0, done.stderr
    names = re.findall(r"^ +(@?[\w-]+)$", done.stdout, re.MULTILINE)
    return {call for one in names for call in (calls_of(one) if one.startswith("@") else {one})}


def told(supervisor: socket.socket) -> str:
    """Return what has come; nothing, where nothing has."""
    with suppress(BlockingIOError):
        return supervisor.recv(100).decode()
    return ""


def test_it_serves_with_what_the_unit_forbids(tmp_path: Path) -> None:
    """First two processes, then one: no call of theirs is refused, and no memory of theirs becomes code."""
    (state := tmp_path / "state").mkdir(mode=0o700)
    (credentials := tmp_path / "credentials").mkdir()
    (credentials / "tokens").write_text(f"admin {TOKEN}\n")
    (credentials / "tokens").chmod(0o400)
    [command] = SAID["ExecStart"]
    body = {"features": {"site": "news", "bid": 0.5}}
    predicted = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.setblocking(False)
        for label, workers in ((1, "2"), (0, "1")):
            with (
                system_call_filter() as descriptor,
                contained(
                    tmp_path,
                    command.split(),
                    1000,
                    {**environment(), "NONZERO_WORKERS": workers, "NOTIFY_SOCKET": "/run/notify"},
                    volumes={environment()["NONZERO_DATA_DIR"]: state},
                    mounts={CREDENTIALS: credentials, "/run/notify": tmp_path / "notify"},
                    options=["--seccomp", str(descriptor)],
                    before=deny_write_execute,
                    descriptors=[descriptor],
                ) as service,
            ):
                state_of = until(lambda: service.has_ended() or told(supervisor), service.text)
                assert state_of == READY, service.text()
                with service.client(TOKEN) as client:
                    assert client.get("/readyz").status_code == 200
                    predicted.append(client.post("/v1/models/default/predict", json=body).json())
                    update = client.post("/v1/models/default/update", json={**body, "label": label})
                    assert update.status_code == 200, update.text
                    predicted.append(client.post("/v1/models/default/predict", json=body).json())
                    assert client.get("/metrics").status_code == 200
                assert service.stop() == 0, service.text()
                assert told(supervisor) == STOPPING
    assert predicted[0] != predicted[1] == predicted[2] != predicted[3]
    assert '"level":"error"' not in service.text()
    assert '"level":"warning"' not in service.text()


def test_the_filter_and_the_memory_are_in_force(tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    program = tmp_path / "program.py"
    program.write_text("""
import mmap, os, socket
def refused(do):
    try:
        do()
    except OSError as error:
        return type(error).__name__
print(refused(lambda: os.chown("/tmp", os.getuid(), -1)))
print(refused(lambda: socket.socket(socket.AF_NETLINK)))
print(refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)))
""")
    with (
        system_call_filter() as descriptor,
        contained(
            tmp_path,
            [sys.executable, "/program.py"],
            1000,
            {},
            volumes={},
            mounts={"/program.py": program},
            options=["--seccomp", str(descriptor)],
            before=deny_write_execute,
            descriptors=[descriptor],
        ) as service,
    ):
        service.wait()
        assert service.text().split() == ["PermissionError"] * 3


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_systemd(READY)


def test_a_socket_may_have_no_place_in_the_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind("")  # the system chooses a name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + supervisor.getsockname()[1:].decode())
        supervisor.settimeout(SECONDS)
        tell_systemd(READY)
        assert supervisor.recv(100).decode() == READY
