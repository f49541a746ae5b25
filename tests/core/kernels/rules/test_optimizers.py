"""The update rules' settings."""

import math
from typing import Any

import pytest

from nonzero import AdaGrad, SettingsError
from nonzero.model.lanes import DEFAULT_LANES, lanes_from_settings, lanes_to_settings


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 1e4, "0.1", True])
def test_learning_rates_out_of_range_are_named(rate: Any) -> None:
    with pytest.raises(SettingsError, match="learning_rate is"):
        AdaGrad(learning_rate=rate)


@pytest.mark.parametrize("epsilon", [0, -1, 1e-13, math.nan, 1e7])
def test_epsilons_out_of_range_are_named(epsilon: Any) -> None:
    with pytest.raises(SettingsError, match="epsilon is"):
        AdaGrad(epsilon=epsilon)


@pytest.mark.parametrize("decay", [0, 0.49, 1.01, math.nan])
def test_decays_out_of_range_are_named(decay: Any) -> None:
    with pytest.raises(SettingsError, match="decay is"):
        AdaGrad(decay=decay)


def test_the_default_lanes_are_eight_and_survive_json() -> None:
    assert len(DEFAULT_LANES) == 8
    assert lanes_from_settings(lanes_to_settings(DEFAULT_LANES)) == DEFAULT_LANES


@pytest.mark.parametrize(
    "setting",
    [{}, {"rule": "adagrad"}, {"rule": "adagrad", "learning_rate": 1, "epsilon": 1, "decay": 1, "x": 1}],
)
def test_unknown_lanes_are_refused(setting: Any) -> None:
    with pytest.raises(SettingsError, match="lane 0"):
        lanes_from_settings([setting])
