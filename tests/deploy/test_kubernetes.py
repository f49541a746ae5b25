"""deploy/kubernetes/: it is what Kubernetes reads, it fits the service, and runs as it says."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

import nonzero
from contained import Contained, contained
from nonzero.errors import SettingsError
from nonzero_service.api.table import ALIVE, METRICS, READY, TABLE
from nonzero_service.http.tokens import Tokens
from nonzero_service.settings import PREFIX, Settings
from waiting import until

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy/kubernetes"
PAGE = (ROOT / "docs/kubernetes.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OLDEST = "1.29"
"""The first version in which ReadWriteOncePod is for everybody."""

RESOURCES = [
    resource
    for name in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((FOLDER / name).read_text())
]
[SECRET] = yaml.safe_load_all((FOLDER / "tokens.example.yaml").read_text())
[STATEFUL_SET] = [resource for resource in RESOURCES if resource["kind"] == "StatefulSet"]
POD = STATEFUL_SET["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
ENVIRONMENT = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
MOUNTS = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
VOLUMES = {volume["name"]: volume for volume in POD["volumes"]}
PROBES = {name: CONTAINER[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [resource for resource in RESOURCES if resource["kind"] == kind]


def named(resource: dict[str, Any]) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


# -- what Kubernetes reads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [OLDEST, "newest"])
@pytest.mark.parametrize("resource", [*RESOURCES, SECRET], ids=named)
def test_kubernetes_knows_every_field(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    if version == "newest":
        version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(resource, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    wrong = copy.deepcopy(STATEFUL_SET)
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_kubernetes_knows_every_field_of_what_the_page_shows() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    shown = [yaml.safe_load(textwrap.dedent(block)) for block in blocks]
    [claim] = [resource for resource in shown if resource.get("apiVersion") == "v1"]
    kubernetes_validate.validate(claim, OLDEST, strict=True)
    [template] = STATEFUL_SET["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == f"{template['metadata']['name']}-{STATEFUL_SET['metadata']['name']}-0"
    assert claim["metadata"]["labels"] == template["metadata"]["labels"]
    assert claim["spec"].items() > template["spec"].items()


def test_kubectl_makes_the_same_of_it() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {named(resource): resource for resource in yaml.safe_load_all(done.stdout)}
    expected = {named(resource): copy.deepcopy(resource) for resource in RESOURCES}
    [image] = KUSTOMIZATION["images"]
    container = expected[named(STATEFUL_SET)]["spec"]["template"]["spec"]["containers"][0]
    container["image"] = f"{image['newName']}:{image['newTag']}"
    assert made == expected


# -- what no schema can say --------------------------------------------------------------------------------


def test_the_image_is_this_release() -> None:
    [image] = KUSTOMIZATION["images"]
    assert image["name"] == CONTAINER["image"]
    assert image["newTag"] == nonzero.__version__


def test_every_file_is_part_of_it_but_the_example() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert files == {*KUSTOMIZATION["resources"], "kustomization.yaml", "tokens.example.yaml"}


@pytest.mark.parametrize(("probe", "route"), [("startup", ALIVE), ("readiness", READY), ("liveness", ALIVE)])
def test_probes_ask_what_the_service_answers(probe: str, route: Any) -> None:
    """The first and the last one whether it lives: who reads a long journal is not to be restarted for it."""
    asked = PROBES[probe]["httpGet"]
    assert TABLE.find("GET", asked["path"])[0].route == route
    assert asked["port"] == "http"


def test_every_variable_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**image_environment(), **ENVIRONMENT}.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert str(settings.data_dir).startswith(f"{MOUNTS['data']}/")
    assert settings.token_file is not None
    assert str(settings.token_file.parent) == MOUNTS["tokens"]
    assert settings.token_file.name in SECRET["stringData"]
    assert POD["terminationGracePeriodSeconds"] >= settings.grace_seconds + 15
    [port] = CONTAINER["ports"]
    assert port == {"name": "http", "containerPort": settings.port}
    annotations = STATEFUL_SET["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.port)
    assert TABLE.find("GET", annotations["prometheus.io/path"])[0].route == METRICS
    for service in of_kind("Service"):
        [port] = service["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (settings.port, "http")


def image_environment() -> dict[str, str]:
    """Return the variables of the image, without those of the shell that builds it."""
    text = DOCKERFILE.rpartition("FROM ")[2]
    [lines] = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    pairs = (pair.split("=", 1) for pair in lines.replace("\\\n", " ").split())
    return {name: value.replace("$PATH", "/usr/bin:/bin") for name, value in pairs}


def test_the_user_is_that_of_the_image() -> None:
    [(user, group)] = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    security = POD["securityContext"]
    assert security["runAsUser"] == int(user)
    assert security["runAsGroup"] == security["fsGroup"] == int(group)


def test_a_namespace_that_enforces_the_restricted_standard_lets_it_in() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    assert POD["securityContext"]["runAsNonRoot"]
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"]["allowPrivilegeEscalation"] is False
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD.keys()
    kinds = {kind for volume in POD["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= {"secret", "emptyDir"}


def test_names_agree() -> None:
    labels = STATEFUL_SET["spec"]["template"]["metadata"]["labels"]
    [account], [budget], [policy] = map(of_kind, ("ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"))
    assert [one["metadata"]["labels"] for one in (*RESOURCES, SECRET)] == [labels] * (len(RESOURCES) + 1)
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind("Service")}
    assert POD["serviceAccountName"] == account["metadata"]["name"]
    assert services[STATEFUL_SET["spec"]["serviceName"]]["clusterIP"] == "None"
    selected = [service["selector"] for service in services.values()]
    selected += [one["spec"]["selector"]["matchLabels"] for one in (STATEFUL_SET, budget)]
    selected.append(policy["spec"]["podSelector"]["matchLabels"])
    assert selected == [labels] * len(selected)
    [claim] = STATEFUL_SET["spec"]["volumeClaimTemplates"]
    assert {*VOLUMES, claim["metadata"]["name"]} == set(MOUNTS)
    assert VOLUMES["tokens"]["secret"]["secretName"] == SECRET["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert STATEFUL_SET["spec"]["replicas"] == 1


def test_the_example_lets_nobody_in(tmp_path: Path) -> None:
    (file := tmp_path / "tokens").write_text(SECRET["stringData"]["tokens"])
    with pytest.raises(SettingsError, match=r"line 2: a token has 16 to 512 characters"):
        Tokens(file)


# -- as it says --------------------------------------------------------------------------------------------

TOKEN = "a-token-of-this-test"
NEXT = "a-token-that-follows"

Run = Callable[[], AbstractContextManager[Contained]]


class SecretVolume:
    """What a node makes of a Secret: links to files of a directory, which another one takes the place of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir()
        (self.path / "tokens").symlink_to("..data/tokens")

    def have(self, state: str, token: str) -> None:
        (folder := self.path / state).mkdir()
        (file := folder / "tokens").write_text(f"admin {token}\n")
        file.chmod(VOLUMES["tokens"]["secret"]["defaultMode"])
        (link := self.path / "..data_tmp").symlink_to(state)
        link.rename(self.path / "..data")


@pytest.fixture
def secret(tmp_path: Path) -> SecretVolume:
    made = SecretVolume(tmp_path / "secret")
    made.have("..first", TOKEN)
    return made


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The root of a volume as fsGroup leaves it."""
    (path := tmp_path / "volume").mkdir()
    path.chmod(0o2775)
    return path


@pytest.fixture
def run(tmp_path: Path, secret: SecretVolume, volume: Path) -> Run:
    return lambda: contained(
        tmp_path,
        CONTAINER["command"],
        POD["securityContext"]["runAsUser"],
        {**image_environment(), **ENVIRONMENT},
        volumes={MOUNTS["data"]: volume},
        mounts={MOUNTS["tokens"]: secret.path},
    )


def check_confined(pod: Contained) -> None:
    """Hold that it is as confined as the manifest asks for: otherwise what it does would prove less."""
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    mounted = [line.split() for line in Path(f"/proc/{pod.pid}/mounts").read_text().splitlines()]
    writable = {fields[1] for fields in mounted if "rw" in fields[3].split(",")}
    assert {path for path in writable if not path.startswith(("/dev", "/proc"))} == {"/tmp", MOUNTS["data"]}
    status = Path(f"/proc/{pod.pid}/status").read_text()
    assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)


def test_it_starts_stops_and_comes_back(run: Run, volume: Path, secret: SecretVolume) -> None:
    body = {"features": {"site": "news", "bid": 0.5}}
    began = time.monotonic()
    with run() as pod:
        with pod.until_ready().client(TOKEN) as client:
            assert time.monotonic() - began < PROBES["startup"]["failureThreshold"], pod.text()
            check_confined(pod)
            assert client.post("/v1/models/default/update", json={**body, "label": 1}).status_code == 200
            before = client.post("/v1/models/default/predict", json=body).json()
            client.headers["Authorization"] = f"Bearer {NEXT}"
            assert client.get("/metrics").status_code == 401
            secret.have("..second", NEXT)
            until(lambda: client.get("/metrics").status_code == 200)
        began = time.monotonic()
        assert pod.stop() == 0, pod.text()
        assert time.monotonic() - began < POD["terminationGracePeriodSeconds"]
    data = volume / Path(ENVIRONMENT["NONZERO_DATA_DIR"]).relative_to(MOUNTS["data"])
    assert data.stat().st_mode & 0o777 == 0o700
    with run() as pod, pod.until_ready().client(NEXT) as client:
        assert client.post("/v1/models/default/predict", json=body).json() == before
    assert '"level":"error"' not in pod.text()
