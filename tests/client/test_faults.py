"""The service is killed and started anew under the client, and the network does harm: each example once."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from client.calling import Calling, calling
from client.proxy import Harm, HarmfulProxy
from nonzero import LogisticRegression
from nonzero_client import Client, ClientError
from nonzero_service.journal.snapshots import snapshots_in
from service.conftest import ServiceProcess, Start, starting

N = 1200
SIZE = 40
HARMS: list[Harm] = list(get_args(Harm))
HARMLESS_TO_THE_SERVICE = [harm for harm in HARMS if not harm.startswith("kill")]
ONE_KILL: list[Harm] = [*HARMLESS_TO_THE_SERVICE, "kill with answer"]
DEADLINE = 60


def examples(n: int = N) -> Iterator[dict[str, Any]]:
    return (
        {"features": {"site": f"s{i % 7}", "user": f"u{i * 31 % 97}", "bid": i % 10 / 8}, "label": i % 3 % 2}
        for i in range(n)
    )


class Mortal:
    """A service that can be killed, and is there again."""

    def __init__(self, start: Start, data_dir: Path) -> None:
        self._start = start
        self._data_dir = data_dir
        self.running = self._started()
        self.deaths = 0

    def _started(self) -> ServiceProcess:
        return self._start(self._data_dir, bits=12, breaker="off").until_ready()

    def port(self) -> int:
        port: int = self.running.port
        return port

    def kill(self) -> None:
        assert self.running.kill() == -9
        self.running = self._started()
        self.deaths += 1

    def counted(self) -> int:
        """Return how many examples `/metrics` says that the model holds."""
        text: str = httpx.get(f"{self.running.url}/metrics", trust_env=False).text
        [found] = re.findall(r'^nonzero_model_examples\S*\{model="default"\} (\S+)$', text, re.MULTILINE)
        return int(float(found))

    def digest(self) -> str:
        """Stop it; return the digest of what it has learned."""
        assert self.running.stop() == 0
        newest = snapshots_in(self._data_dir / "models" / "default" / "snapshots")[0]
        return LogisticRegression.load(newest.path).digest()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of what is learned where nothing goes wrong."""
    place = tmp_path_factory.mktemp("clean")
    with starting(ServiceProcess, place) as start:
        mortal = Mortal(start, place / "data")
        with Client(mortal.running.url) as client:
            client.update_stream(examples(), batch_size=SIZE)
        return mortal.digest()


def planned(seed: int, requests: int, harms: list[Harm]) -> dict[int, Harm]:
    """Have each harm done, at different requests."""
    numbers = random.Random(seed).sample(range(1, requests), len(harms))
    return dict(zip(numbers, harms, strict=True))


@pytest.mark.sampled(1)
def test_each_example_of_a_stream_is_learned_from_once(
    start: Start, memory_path: Path, kind: Any, clean: str
) -> None:
    mortal = Mortal(start, memory_path / "data")
    made = HarmfulProxy(mortal.port, mortal.kill, planned(1, N // SIZE, HARMS * 2))
    with made as proxy, calling(kind, proxy.url, deadline=DEADLINE) as client:
        steps: list[int] = []
        result = client.update_stream(
            examples(), batch_size=SIZE, progress=lambda so_far: steps.append(so_far.accepted)
        )
    assert sorted(proxy.done) == sorted([*HARMS, *HARMS])
    assert mortal.deaths == 4
    assert proxy.requests > N // SIZE
    assert (result.accepted, result.rejected, result.sequence) == (N, 0, N)
    assert steps == list(range(SIZE, N + 1, SIZE))
    assert result.replayed > 0, "no answer was lost that had been learned from"
    assert mortal.counted() == N
    assert mortal.digest() == clean


@pytest.mark.sampled(4)
@pytest.mark.parametrize("harm", HARMLESS_TO_THE_SERVICE)
def test_each_update_is_learned_from_once(service: ServiceProcess, model: str, kind: Any, harm: Harm) -> None:
    made = HarmfulProxy(lambda: service.port, pytest.fail, {2: harm})
    with made as proxy, calling(kind, proxy.url, deadline=DEADLINE) as client:
        for n in range(3):
            result = client.update([*examples(5)], model=model)
            assert (result.accepted, result.sequence) == (5, 5 * n + 5)
    assert proxy.done == [harm]
    assert proxy.requests == 4


def harmed(service: ServiceProcess, kind: Any, harm: Harm) -> tuple[HarmfulProxy, Calling]:
    """Have the first request harmed."""
    proxy = HarmfulProxy(lambda: service.port, pytest.fail, {1: harm})
    return proxy, calling(kind, proxy.url, deadline=DEADLINE)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("harm", ["lose answer", "cut answer"])
def test_what_is_done_is_not_done_twice(
    service: ServiceProcess, model: str, kind: Any, harm: Harm, tmp_path: Path
) -> None:
    """What the service has done, and the client does not know of."""
    file, copy = tmp_path / "model", f"{model}-copy"

    def ask(call: Callable[[Calling], Any]) -> Any:
        proxy, client = harmed(service, kind, harm)
        with proxy, client:
            found = call(client)
        assert proxy.done == [harm]
        return found

    def unknown(call: Callable[[Calling], Any], requests: int) -> None:
        proxy, client = harmed(service, kind, harm)
        with proxy, client, pytest.raises(ClientError) as error:
            call(client)
        assert (proxy.requests, error.value.outcome_unknown) == (requests, True)

    with Client(service.url) as straight:
        straight.predict([{"features": {}, "id": f"imp-{i}"} for i in range(3)], model=model)
    assert ask(lambda client: client.labels({"id": "imp-0", "label": 1}, model=model)).known == 1
    two = [{"id": "imp-1", "label": 1}, {"id": "imp-2", "label": 0}]
    labelled = ask(lambda client: client.labels(two, model=model))
    assert (labelled.known, labelled.accepted, labelled.rejected) == (2, 0, 0)
    sequence = ask(lambda client: client.take_snapshot(model))["sequence"]
    assert ask(lambda client: client.download_snapshot(file, model=model)) == file.stat().st_size
    assert LogisticRegression.load(file).examples == sequence
    unknown(lambda client: client.import_model(copy, file), requests=2)
    assert ask(lambda client: client.get_model(copy))["sequence"] == sequence
    ask(lambda client: client.delete_model(copy))
    assert ask(lambda client: client.create_model(copy, {"bits": 8}))["sequence"] == 0
    unknown(lambda client: client.remedy(copy), requests=1)
    unknown(lambda client: client.resume(copy), requests=1)
    ask(lambda client: client.delete_model(copy))
    with Client(service.url) as straight:
        assert copy not in [state["model"] for state in straight.list_models()]


@pytest.mark.sampled(1)
def test_every_prediction_comes_in_its_place(start: Start, memory_path: Path, kind: Any) -> None:
    mortal = Mortal(start, memory_path / "data")
    with Client(mortal.running.url) as straight:
        straight.update_stream(examples())
        expected = [one.probability for one in straight.predict_stream(examples(), batch_size=SIZE)]
    made = HarmfulProxy(mortal.port, mortal.kill, planned(2, N // SIZE, ONE_KILL))
    with made as proxy, calling(kind, proxy.url, deadline=DEADLINE) as client:
        found = [one.probability for one in client.predict_stream(examples(), batch_size=SIZE)]
    assert sorted(proxy.done) == sorted(ONE_KILL)
    assert found == expected
    assert len(set(found)) > 50


@pytest.mark.sampled(1)
def test_each_label_is_taken_once(start: Start, memory_path: Path, kind: Any) -> None:
    mortal = Mortal(start, memory_path / "data")
    n = 400
    ids = [f"imp-{i}" for i in range(n)]
    with Client(mortal.running.url) as straight:
        straight.predict([{**one, "id": name} for one, name in zip(examples(n), ids, strict=True)])
        straight.wait_until_ready()
        labels = [{"id": name, "label": i % 2} for i, name in enumerate(ids)]
        # An answered label is durable, and so is the prediction before it.
        assert straight.labels(labels[0]).accepted == 1
        before = mortal.counted()
    made = HarmfulProxy(mortal.port, mortal.kill, planned(3, 38, ONE_KILL))
    with made as proxy, calling(kind, proxy.url, deadline=DEADLINE) as client:
        result = client.label_stream(labels[1:], batch_size=10)
    assert sorted(proxy.done) == sorted(ONE_KILL)
    assert (result.rejected, result.errors) == (0, ())
    assert result.accepted + result.known == n - 1
    assert result.known > 0, "no answer was lost that had taken labels"
    assert mortal.counted() == before + n // 2, "each click is one correction"
