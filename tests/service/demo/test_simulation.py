"""The simulated log is the same on every reading, keeps its base rate, and changes its taste half-way."""

import tracemalloc

import numpy as np

from nonzero_service.demo.simulation import SimulatedImpressions, SimulatedLog


def whole(log: SimulatedLog) -> SimulatedImpressions:
    blocks = list(log.blocks())
    return SimulatedImpressions(
        np.concatenate([block.values for block in blocks]),
        np.concatenate([block.rates for block in blocks]),
        np.concatenate([block.clicks for block in blocks]),
    )


def test_equal_seeds_give_equal_logs_and_others_do_not() -> None:
    first, again, other = (
        whole(SimulatedLog(25_000)),
        whole(SimulatedLog(25_000)),
        whole(SimulatedLog(25_000, seed=1)),
    )
    assert (first.values == again.values).all()
    assert (first.rates == again.rates).all()
    assert (first.clicks == again.clicks).all()
    assert (first.values != other.values).any()
    assert len(first.clicks) == 25_000


def test_the_base_rate_holds_before_and_after_the_change() -> None:
    log = SimulatedLog(200_000, base_rate=0.03)
    everything = whole(log)
    for part in (slice(None, log.change), slice(log.change, None)):
        assert abs(everything.rates[part].mean() - 0.03) < 0.001
        assert abs(everything.clicks[part].mean() - 0.03) < 0.002


def test_clicks_follow_their_rates_at_every_height() -> None:
    everything = whole(SimulatedLog(200_000))
    for part in np.array_split(np.argsort(everything.rates), 10):
        expected, observed = everything.rates[part].sum(), everything.clicks[part].sum()
        assert abs(observed - expected) < 4 * np.sqrt(expected)


def test_values_follow_zipf() -> None:
    log = SimulatedLog(100_000)
    values = whole(log).values
    for column, field in enumerate(log.fields):
        counts = np.bincount(values[:, column], minlength=field.values)
        weights = np.arange(1, field.values + 1) ** -field.zipf
        expected = weights / weights.sum() * len(values)
        assert len(counts) == field.values
        assert np.abs(counts[:4] - expected[:4]).max() < 5 * np.sqrt(expected[0])


def test_the_change_of_taste_moves_the_rates_of_the_same_impression() -> None:
    """The mean rate of one ad jumps at the change; the mean rate of one position does not."""
    log = SimulatedLog(200_000)
    everything = whole(log)
    jumps = {}
    for name in ("ad", "position"):
        column = [field.name for field in log.fields].index(name)
        same = everything.values[:, column] == 0
        before, after = everything.rates[: log.change], everything.rates[log.change :]
        jumps[name] = abs(np.log(after[same[log.change :]].mean() / before[same[: log.change]].mean()))
    assert jumps["ad"] > 0.2 > 0.1 > jumps["position"]


def test_a_log_of_any_length_needs_the_memory_of_a_block() -> None:
    log = SimulatedLog(1_000_000)
    tracemalloc.start()
    try:
        for _ in zip(range(10), log.blocks(), strict=False):
            pass
        _, ten = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in zip(range(30), log.blocks(), strict=False):
            pass
        _, thirty = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert thirty < 1.2 * ten < 20_000_000
