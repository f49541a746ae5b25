"""The recent figures of many models, for which there may not be the time at once."""

from types import SimpleNamespace
from typing import Any

import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.metrics import exposition


def test_models_that_have_waited_longest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {name: LogisticRegression(bits=4, optimizer=None) for name in "abc"}
    served = [
        SimpleNamespace(name=name, model=model, learner=SimpleNamespace(queued_bytes=0))
        for name, model in models.items()
    ]
    all_of_them: Any = SimpleNamespace(all=lambda: served)
    learned = exposition._Learned(all_of_them)

    def losses() -> dict[str, float]:
        learned.look()
        [found] = [one for one in learned.collect() if one.name == "nonzero_model_recent_log_loss"]
        return {sample.labels["model"]: sample.value for sample in found.samples}

    def learn() -> None:
        for model in models.values():
            model.learn(Batch([0, 0], [], None, [1]))

    learn()
    first = losses()
    assert set(first) == set(models)
    monkeypatch.setattr(exposition, "LOOK_SECONDS", 0)
    learn()
    seen = [losses() for _ in range(len(models) + 1)]
    for n, figures in enumerate(seen):
        assert sum(figures[name] != first[name] for name in models) == min(n + 1, len(models))
    learn()
    assert [name for name, loss in losses().items() if loss != seen[-1][name]] == ["a"]
