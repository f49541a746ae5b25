"""What each scope can do to a model: the table of docs/access.md, cell by cell."""

from __future__ import annotations

import itertools
import json
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from nonzero_service.api.schemas.predictions import Predictions
from plain_http import client_of
from service.conftest import Clocked
from service.safety.raw import TOKENS
from service.series import series
from service.workers.processes import Connections, workers
from waiting import until

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = (ROOT / "docs/access.md").read_text()

MODEL = "/v1/models/default"
PREDICT, UPDATE, LABELS = (f"{MODEL}/{action}" for action in ("predict", "update", "labels"))

PREDICTS = {"predict", "impress", "predict,update", "admin"}
IMPRESSES = {"impress", "admin"}
"""The tokens that may."""

HOUR = 3600
"""A window."""

Send = Callable[[httpx.Client, dict[str, str], dict[str, Any]], list[dict[str, Any]]]


def bearer(scope: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[scope]}"}


class Guarded(Clocked):
    """A service with tokens, whose clients are the administrator's unless they say otherwise."""

    def __init__(self, place: Path, **settings: Any) -> None:
        tokens = place / "tokens"
        tokens.write_text("".join(f"{scope} {token}\n" for scope, token in TOKENS.items()))
        tokens.chmod(0o600)
        super().__init__(place, token_file=str(tokens), breaker="off", **settings)

    def client(self) -> httpx.Client:
        return client_of(self.url, headers=bearer("admin"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Two processes, so that a worker answers too."""
    running = Guarded(
        tmp_path_factory.mktemp("guarded"),
        negatives="at_end",
        workers=2,
        log_level="debug",
        source="kafka://127.0.0.1:1/nobody-answers?model=fed",
    )
    yield running.until_ready()
    assert running.stop() == 0
    assert not running.failures()
    assert not [line for line in running.log if any(token in str(line) for token in TOKENS.values())]


@pytest.fixture(scope="module")
def processes(guarded: Guarded) -> Iterator[dict[str, httpx.Client]]:
    with Connections(guarded) as (writer, worker):
        yield {"writer": writer, "worker": worker}


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ending]:
    """A service of which the ends of windows are waited for."""
    running = Guarded(tmp_path_factory.mktemp("ending"), negatives="at_end").until_ready()
    with running.client() as client:
        yield Ending(running, client)
    assert running.stop() == 0


class Ending(NamedTuple):
    """A service, and a client of it."""

    service: Guarded
    client: httpx.Client

    def end_windows(self) -> None:
        self.service.clock.pass_by(HOUR)
        self.service.until_looked()


@pytest.fixture(params=["writer", "worker"])
def client(processes: dict[str, httpx.Client], request: pytest.FixtureRequest) -> httpx.Client:
    return processes[request.param]


_ids = itertools.count()


def fresh() -> str:
    return f"imp-{next(_ids)}"


# -- every way in which an id may come ---------------------------------------------------------------------


def one(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    return listed(client.post(PREDICT, json=example, headers=headers))


def several(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    body = {"examples": [{"features": {"a": 1}}, example]}
    return listed(client.post(PREDICT, json=body, headers=headers))[1:]


def unsure(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    return listed(client.post(f"{PREDICT}?uncertainty=true", json=example, headers=headers))


def large(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    """A body that another thread reads."""
    body = {"examples": [{"features": {f"f{n}": 1}} for n in range(1000)] + [example]}
    return listed(client.post(PREDICT, json=body, headers=headers))[1000:]


def lines(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    media = {"content-type": "application/x-ndjson"}
    answer = client.post(PREDICT, content=json.dumps(example) + "\n", headers=headers | media)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def mixed(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream with a line that cannot be read, which Python answers line by line."""
    media = {"content-type": "application/x-ndjson"}
    answer = client.post(PREDICT, content=json.dumps(example) + "\noops\n", headers=headers | media)
    return [json.loads(line) for line in answer.text.splitlines()][:1]


def text(client: httpx.Client, headers: dict[str, str], example: dict[str, Any]) -> list[dict[str, Any]]:
    features = " ".join(f"{key}={part}" for key, part in example["features"].items())
    body = f" {example.get('weight', 1)} {example['id']}| {features}\n"
    answer = client.post(PREDICT, content=body, headers=headers | {"content-type": "text/x-vw"})
    return [json.loads(line) for line in answer.text.splitlines()]


def listed(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    Predictions.model_validate_json(answer.content)
    rows: list[dict[str, Any]] = answer.json()["predictions"]
    return rows


DOORS: list[Send] = [one, several, unsure, large, lines, mixed, text]


@pytest.mark.parametrize("send", DOORS)
@pytest.mark.parametrize("scope", sorted(PREDICTS))
def test_an_id_is_kept_where_the_token_may_teach_and_nowhere_else(
    client: httpx.Client, scope: str, send: Send
) -> None:
    name = fresh()
    [row] = send(client, bearer(scope), {"features": {"site": "news"}, "id": name})
    assert row["id"] == name
    assert row.get("kept") == (None if scope in IMPRESSES else False)
    plain = client.post(PREDICT, json={"features": {"site": "news"}}).json()["predictions"][0]
    assert row["probability"] == plain["probability"]
    labelled = client.post(LABELS, json={"id": name, "label": 1})
    assert labelled.status_code == (200 if scope in IMPRESSES else 404), labelled.text


@pytest.mark.parametrize("scope", sorted(PREDICTS))
def test_what_a_worker_passes_on_teaches_no_more(
    guarded: Guarded, processes: dict[str, httpx.Client], scope: str
) -> None:
    """A worker passes on what it has no memory to map."""
    path, mark = f"/v1/models/large-{scope.replace(',', '-')}", fresh()
    [worker] = workers(guarded).values()
    addresses = resource.prlimit(worker, resource.RLIMIT_AS)
    taken = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(worker, resource.RLIMIT_AS, (taken + (32 << 20), addresses[1]))
    try:
        assert processes["writer"].put(path, json={"bits": 20}).status_code == 201
        event = "a model cannot be mapped; the writer predicts with it"
        until(lambda: [line for line in guarded.lines(event) if path.endswith(line["model"])])
    finally:
        resource.prlimit(worker, resource.RLIMIT_AS, addresses)
    example = {"features": {"a": 1}, "id": mark}
    headers = bearer(scope) | {"x-request-id": mark}
    answer = processes["worker"].post(f"{path}/predict", json=example, headers=headers)
    [row] = answer.json()["predictions"]
    assert row.get("kept") == (None if scope in IMPRESSES else False)
    labelled = processes["writer"].post(f"{path}/labels", json={"id": mark, "label": 1})
    assert labelled.status_code == (200 if scope in IMPRESSES else 404)
    assert processes["writer"].delete(path).status_code == 204
    [said] = until(lambda: [line for line in guarded.log if line.get("request_id") == mark])
    assert "worker" not in said


# -- the table ---------------------------------------------------------------------------------------------


def reads_probabilities(client: httpx.Client, scope: str) -> bool:
    statuses = {
        client.post(path, json={"features": {"a": "b"}}, headers=bearer(scope)).status_code
        for path in (PREDICT, f"{PREDICT}?uncertainty=true")
    }
    return statuses == {200}


def reads_parts(client: httpx.Client, scope: str) -> bool:
    answer = client.post(f"{MODEL}/explain", json={"features": {"a": "b"}}, headers=bearer(scope))
    return answer.status_code == 200


def reads_figures(client: httpx.Client, scope: str) -> bool:
    paths = ("/v1/models", MODEL, f"{MODEL}/metrics", f"{MODEL}/diagnosis", f"{MODEL}/history", "/metrics")
    return {client.get(path, headers=bearer(scope)).status_code for path in paths} == {200}


def predict(client: httpx.Client, scope: str, example: dict[str, Any]) -> None:
    """Send it, whatever comes of it."""
    client.post(PREDICT, json=example, headers=bearer(scope))


def is_found(client: httpx.Client, scope: str) -> bool:
    predict(client, scope, {"features": {"site": "news"}, "id": (name := fresh())})
    return client.post(LABELS, json={"id": name, "label": 1}).status_code == 200


def takes_ids(client: httpx.Client, scope: str) -> bool:
    """Whose features a label teaches tells whose prediction was kept."""
    name, site = fresh(), fresh()
    predict(client, scope, {"features": {"site": "guess"}, "id": name})
    predict(client, "impress", {"features": {"site": site}, "id": name})
    assert client.post(LABELS, json={"id": name, "label": 1}).status_code == 200
    explained = client.post(f"{MODEL}/explain", json={"features": {"site": site}}).json()
    return bool(explained["contributions"][0]["weight"] == 0)


def grows(client: httpx.Client, act: Callable[[], object]) -> bool:
    """Whether the model learns from something."""
    before = client.get(MODEL).json()["sequence"]
    act()
    return bool(client.get(MODEL).json()["sequence"] > before)


def teaches_negatives(ending: Ending, scope: str) -> bool:
    def act() -> None:
        predict(ending.client, scope, {"features": {"site": "news"}, "id": fresh()})
        ending.end_windows()

    return grows(ending.client, act)


def update(client: httpx.Client, scope: str, example: dict[str, Any]) -> None:
    client.post(UPDATE, json=example | {"label": 0}, headers=bearer(scope))


def teaches_examples(client: httpx.Client, scope: str) -> bool:
    return grows(client, lambda: update(client, scope, {"features": {"site": "news"}}))


def labels_others(client: httpx.Client, scope: str) -> bool:
    predict(client, "impress", {"features": {"site": "news"}, "id": (name := fresh())})
    label = {"id": name, "label": 0}
    return grows(client, lambda: client.post(LABELS, json=label, headers=bearer(scope)))


def gives_weights(client: httpx.Client, scope: str) -> bool:
    before = client.get(f"{MODEL}/metrics").json()["weight"]
    predict(client, scope, {"features": {"site": "news"}, "id": (name := fresh()), "weight": 1000})
    client.post(LABELS, json={"id": name, "label": 1})
    update(client, scope, {"features": {"site": "news"}, "weight": 1000})
    for example in ({"id": fresh(), "weight": 1001}, {"weight": 1001}):  # for nobody
        predict(client, scope, {"features": {"site": "news"}} | example)
        update(client, scope, {"features": {"site": "news"}} | example)
    after = client.get(f"{MODEL}/metrics").json()["weight"]
    assert after - before in (0, 1000, 2000)
    return bool(after > before)


def shows_names(ending: Ending, scope: str) -> bool:
    """Names are saved with the model; each of its first requests shows some."""
    client = ending.client
    name = f"field-{scope}-{fresh()}"
    for send in DOORS:
        with suppress(AssertionError):  # that it is refused
            send(client, bearer(scope), {"features": {name: "x"}, "id": fresh()})
    update(client, scope, {"features": {name: "x"}})
    update(client, "admin", {"features": {"site": "news"}})
    assert client.post(f"{MODEL}/snapshots").status_code < 300
    return name.encode() in client.get(f"{MODEL}/snapshots/latest").content


def asks(client: httpx.Client, scope: str, *requests: tuple[str, str]) -> bool:
    """Whether requests are let in: what each of them does has tests of its own."""
    statuses = [client.request(method, path, headers=bearer(scope)).status_code for method, path in requests]
    assert all(status == 403 for status in statuses) or not any(status in (401, 403) for status in statuses)
    return 403 not in statuses


def resumes(client: httpx.Client, scope: str) -> bool:
    return asks(client, scope, ("POST", f"{MODEL}/resume"), ("POST", f"{MODEL}/resume?discard=true"))


def reads_refusals(client: httpx.Client, scope: str) -> bool:
    answer = client.get("/v1/models/fed/source", headers=bearer(scope))
    assert answer.status_code == 200, answer.text  # how far it is everybody may know
    return answer.json()["refusals"] is not None


def manages(client: httpx.Client, scope: str) -> bool:
    path = f"/v1/models/made-for-{scope}"
    return asks(client, scope, ("PUT", path), ("POST", f"{path}/remedy"), ("DELETE", path))


def saves(client: httpx.Client, scope: str) -> bool:
    return asks(client, scope, ("POST", f"{MODEL}/snapshots"), ("GET", f"{MODEL}/snapshots/latest"))


PROBES: dict[str, Callable[[Any, str], bool]] = {
    "reads probabilities and how sure they are": reads_probabilities,
    "reads what a prediction is made of (`explain`)": reads_parts,
    "reads models, metrics and the diagnosis": reads_figures,
    "has a prediction kept for its label, by an `id`": is_found,
    "takes an `id`, so that a later prediction with it is not kept": takes_ids,
    "teaches a negative, by a prediction that gets no label": teaches_negatives,
    "teaches examples with labels (`update`)": teaches_examples,
    "labels a prediction, whoever made it": labels_others,
    "gives weights to what is learned, up to `max_weight`": gives_weights,
    "shows names of fields and values, for diagnosis and slices": shows_names,
    "reads which lines of [topics](kafka.md) were refused, and why": reads_refusals,
    "resumes learning after a pause, or discards what was held": resumes,
    "makes, mends and deletes models": manages,
    "takes and downloads snapshots": saves,
}

IN_THE_END = {teaches_negatives, shows_names}
"""These need a service whose windows end soon, and whose first requests they are."""

TABLE = {
    effect: dict(zip(("predict", "impress", "update", "admin"), cells, strict=True))
    for effect, *cells in re.findall(r"^\| (.*?)" + r" \| (yes|no)" * 4 + r" \|$", PAGE, re.MULTILINE)
}


def test_the_table_has_all_effects() -> None:
    assert list(TABLE) == list(PROBES)


def expected(effect: str, scopes: str) -> bool:
    return any(TABLE[effect][scope] == "yes" for scope in scopes.split(","))


@pytest.mark.parametrize("scope", TOKENS)
@pytest.mark.parametrize("effect", [effect for effect, probe in PROBES.items() if probe not in IN_THE_END])
def test_a_scope_has_the_effects_that_the_table_gives_it(
    client: httpx.Client, scope: str, effect: str
) -> None:
    assert PROBES[effect](client, scope) == expected(effect, scope)


@pytest.mark.parametrize("scope", TOKENS)
@pytest.mark.parametrize("effect", [effect for effect, probe in PROBES.items() if probe in IN_THE_END])
def test_a_scope_has_the_effects_of_the_table_that_come_late(ending: Ending, scope: str, effect: str) -> None:
    assert PROBES[effect](ending, scope) == expected(effect, scope)


def test_what_is_refused_is_counted_and_said_once_of_each_token(
    guarded: Guarded, processes: dict[str, httpx.Client]
) -> None:
    """The counts of all processes are told together; the log names the token without giving it away."""
    name = 'nonzero_impressions_total{model="default",outcome="refused"}'
    client = processes["writer"]
    before = series(client, name)
    for one_client in processes.values():
        for _ in range(3):
            one(one_client, bearer("predict"), {"features": {"site": "news"}, "id": fresh()})
    assert series(client, name) == before + 6
    said = guarded.lines("predictions with an id were not kept")
    line = [*TOKENS].index("predict") + 1
    mine = [each for each in said if each["token"].startswith(f"line {line},")]
    assert sorted(each.get("worker", 0) for each in mine) == [0, 1]
    assert len(said) <= 4  # of two tokens, by two processes


# -- what is left behind by all that a token for predict may send ------------------------------------------


def test_a_token_for_predict_changes_nothing(ending: Ending) -> None:
    """Neither at once nor when windows end: what is saved of the model stays as it was, to the bit."""
    client = ending.client
    update(client, "admin", {"features": {"site": "news"}})
    ending.end_windows()  # those of other tests' impressions

    def state() -> tuple[bytes, object, object]:
        client.post(f"{MODEL}/snapshots")
        figures, diagnosis = (client.get(f"{MODEL}/{what}").json() for what in ("metrics", "diagnosis"))
        for told in (figures, diagnosis):
            told.pop("schema")  # what came in another kind than its field is counted, whoever sent it
        return client.get(f"{MODEL}/snapshots/latest").content, figures, diagnosis

    before = state()
    for send in DOORS:
        example = {"features": {"site": "news", send.__name__: "x"}, "id": fresh(), "weight": 1e6}
        send(client, bearer("predict"), example)
    reads_parts(client, "predict")
    ending.end_windows()
    assert state() == before
    assert teaches_negatives(ending, "impress")
    assert state() != before
