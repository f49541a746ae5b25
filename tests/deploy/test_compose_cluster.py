"""compose.cluster.yaml: compose reads it, and it fits the nodes, the servers' scripts and the proxy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.test_compose import DOCKERFILE, mounts
from nonzero_service.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "compose.cluster.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
START = (ROOT / "deploy/postgres/start.sh").read_text()
NODES, SERVERS = ("a", "b"), ("primary", "standby")


def environment(name: str) -> dict[str, str]:
    """Return a container's variables, where nobody has set any for compose."""
    variables: dict[str, str] = SERVICES[name]["environment"]
    return {key: re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", value) for key, value in variables.items()}


def test_compose_knows_every_field() -> None:
    compose_spec = pytest.importorskip("compose_spec")
    options = compose_spec.PyOptions(apply_merge=True)
    options.from_yaml(TEXT).validate()
    for field in ("stop_grace_period", "cap_add", "service_healthy"):
        with pytest.raises(ValueError, match=f"{field}_"):
            options.from_yaml(TEXT.replace(field, f"{field}_"))


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_confined_and_the_proxy_alone_is_reached(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN", "DAC_OVERRIDE"] if name == "secrets" else [])
    assert (service.get("user") == "root") == (name == "secrets")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service.get("ports", []) == (["127.0.0.1:8000:8000"] if name == "proxy" else [])
    if "build" not in service:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-alpine)?", service["image"])
    for source, _ in mounts(service):
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source


def test_the_database_is_reached_by_nodes_only() -> None:
    assert COMPOSE["networks"]["database"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if "database" in service.get("networks", [])}
    assert inside == {*NODES, *SERVERS}
    assert SERVICES["secrets"]["network_mode"] == "none"


def test_secrets_are_files_of_those_who_read_them() -> None:
    [_, _, servers_owner, nodes_folder, nodes_owner] = SERVICES["secrets"]["entrypoint"]
    volumes = {where: volume for volume, where in mounts(SERVICES["secrets"])}
    [user] = re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)
    assert nodes_owner == user
    assert {SERVICES[name]["user"] for name in SERVERS} == {servers_owner}
    for name in (*NODES, *SERVERS):
        file = Path(environment(name)["PGPASSFILE"])
        mounted = {where: volume for volume, where in mounts(SERVICES[name])}
        folder = nodes_folder if name in NODES else "/secrets/servers"
        assert mounted[str(file.parent)] == volumes[folder]
        if name in NODES:
            assert f"{volumes[folder]}:{file.parent}:ro" in SERVICES[name]["volumes"]
        else:
            assert environment(name)["SHARED"] == str(file.parent)
        assert SERVICES[name]["depends_on"]["secrets"] == {"condition": "service_completed_successfully"}
    # No variable holds one.
    assert not re.search(r"PASSWORD|://[^@\s]*:[^@\s]*@", TEXT)


@pytest.mark.parametrize("name", NODES)
def test_every_variable_of_a_node_is_a_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in environment(name).items():
        assert key.startswith(PREFIX) or key == "PGPASSFILE"
        monkeypatch.setenv(key, value)
    settings = Settings.load()
    assert settings.node == name
    assert SERVICES[name]["hostname"] == name  # what it tells others in the place of this
    assert settings.node_address.startswith("0.0.0.0:")
    assert settings.journal is not None
    assert settings.journal.get_secret_value() == f"postgresql://nonzero@{','.join(SERVERS)}/nonzero"
    [seconds] = re.findall(r"^(\d+)s$", SERVICES[name]["stop_grace_period"])
    assert int(seconds) >= settings.grace_seconds + 15
    assert [where for volume, where in mounts(SERVICES[name]) if volume == name] == ["/data"]
    assert environment("proxy")[f"NONZERO_{name.upper()}"] == f"{name}:{settings.port}"


@pytest.mark.parametrize("name", SERVERS)
def test_every_variable_of_a_server_is_what_its_script_reads(name: str) -> None:
    known = set(re.findall(r"^#   ([A-Z]+)\s", START, re.MULTILINE))
    assert environment(name).keys() <= known
    assert environment(name)["NAME"] == name
    [volume] = [where for source, where in mounts(SERVICES[name]) if source == name]
    data = Path(environment(name)["PGDATA"])
    assert data.parent == Path(volume)  # what is being made stands beside it, in the same volume
    assert SERVICES[name]["entrypoint"] == ["/etc/nonzero/start.sh"]


def test_the_standby_follows_the_primary_which_waits_for_it() -> None:
    assert environment("primary")["FOLLOWS"] == ""
    assert environment("primary")["SYNCHRONOUS"] == "standby"
    assert environment("standby")["FOLLOWS"] == "primary:5432"


def test_the_proxy_reads_what_it_is_given() -> None:
    config = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    assert set(re.findall(r'"\$(\w+)"', config)) == environment("proxy").keys()
    assert dict(mounts(SERVICES["proxy"])) == {"./deploy/haproxy": "/usr/local/etc/haproxy"}
    [path] = re.findall(r"monitor-uri (\S+)", config)
    assert SERVICES["proxy"]["healthcheck"]["test"][-1].endswith(environment("proxy")["NONZERO_AT"] + path)


def test_what_the_page_does_with_compose_can_be_done() -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    commands = re.findall(
        r"docker compose -f (\S+) (\w+)((?: --\w+)*)(?: (\w+))?(?: (\S+))?", page.replace("\\\n", "")
    )
    assert len(commands) >= 6
    for file, does, _, service, program in commands:
        assert file == "compose.cluster.yaml"
        assert service == "" if (does, service) == ("up", "") else service in SERVICES
        if does == "exec" and program.startswith("/"):
            [folder] = [
                source for source, where in mounts(SERVICES[service]) if where == str(Path(program).parent)
            ]
            assert os.access(ROOT / folder / Path(program).name, os.X_OK)
    for variable in re.findall(r"^(\w+)=\S+ docker compose", page, re.MULTILINE):
        assert f"${{{variable}" in TEXT
