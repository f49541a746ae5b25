"""A thousand models, fifty of them busy and all of them now and then, killed again and again."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from nonzero_service.models.verifying import verify
from reporting import Figure
from service.many import SETTINGS, Load, make, name_of, sequences
from service.test_descriptors import Limited

COUNT = 1000
LIVES = 10
DESCRIPTORS = 1024
SECONDS_A_LIFE = 60.0


class ThousandModels(Limited):
    """A service under the limit of open files that most systems set."""


@pytest.mark.soak
def test_a_thousand_models_are_killed_and_nothing_is_lost(
    tmp_path: Path, pytestconfig: pytest.Config, figure: Figure
) -> None:
    data = tmp_path / "data"
    lives, each = LIVES, min(SECONDS_A_LIFE, pytestconfig.getoption("--soak-seconds") / LIVES)

    def start() -> ThousandModels:
        return ThousandModels(data, soft=DESCRIPTORS, hard=DESCRIPTORS, **SETTINGS).until_ready()

    service = start()
    starts: list[float] = []
    try:
        make(service, COUNT)
        load = Load(COUNT)
        load.service = service
        with load:
            for _ in range(lives):
                end = time.monotonic() + each
                while time.monotonic() < end:
                    load.until(1)
                load.service = None
                assert service.kill() == -9
                begun = time.monotonic()
                load.service = service = start()
                starts.append(time.monotonic() - begun)
            load.until(COUNT)
        assert load.broken == []
        assert Counter(sequences(service)) == load.applied
        begun = time.monotonic()
        assert service.stop() == 0
        stop = time.monotonic() - begun
        for n in range(0, COUNT, 10):
            assert verify(data / "models" / name_of(n), lambda *_: None).faults == []
        begun = time.monotonic()
        service = start()
        starts.append(time.monotonic() - begun)
        assert Counter(sequences(service)) == load.applied
    finally:
        service.stop(signal.SIGKILL)
    assert load.most["threads"] <= 40
    figure(
        f"{COUNT} models, {lives} kills, {load.applied.total()} examples acknowledged",
        "all are there; 40 threads, 300 descriptors, 600 MB; starts and a stop of 5 s",
        f"{load.most['threads']} threads, {load.most['descriptors']} descriptors, "
        f"{load.most['bytes'] / 1e6:.0f} MB; starts of {min(starts):.1f} to {max(starts):.1f} s, "
        f"the stop {stop:.1f} s",
    )
