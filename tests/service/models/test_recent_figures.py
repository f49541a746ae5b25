"""The recent figures of many models, for which there may not be the time at once."""

import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.models import recent_figures
from nonzero_service.models.recent_figures import figures_of_learned


def test_models_that_have_waited_longest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [LogisticRegression(bits=4, optimizer=None) for _ in range(3)]
    recent = figures_of_learned()

    def losses() -> list[float | None]:
        recent.look(models)
        return [recent.of(model, "log_loss") for model in models]

    def learn() -> None:
        for model in models:
            model.learn(Batch([0, 0], [], None, [1]))

    learn()
    first = losses()
    assert None not in first
    monkeypatch.setattr(recent_figures, "LOOK_SECONDS", 0)
    learn()
    seen = [losses() for _ in range(len(models) + 1)]
    for n, figures in enumerate(seen):
        assert sum(new != old for new, old in zip(figures, first, strict=True)) == min(n + 1, len(models))
    learn()
    assert [new != old for new, old in zip(losses(), seen[-1], strict=True)] == [True, False, False]


def test_a_model_that_is_gone_has_no_figures() -> None:
    recent = figures_of_learned()
    model = LogisticRegression(bits=4)
    model.learn(Batch([0, 0], [], None, [1]))
    recent.look([model])
    assert recent.of(model, "log_loss") is not None
    assert recent.of(LogisticRegression(bits=4), "log_loss") is None
    del model
    assert not recent._known
