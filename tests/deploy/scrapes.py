"""What Prometheus would have scraped of a service: real answers to ``GET /metrics``, stretched in time."""

from __future__ import annotations

import re
from collections.abc import Container
from copy import copy
from typing import Final, Self

import httpx

__all__ = ["INSTANCE", "JOB", "Scrapes"]

JOB: Final = "nonzero"
INSTANCE: Final = "ctr:8000"
"""The labels of the target, which Prometheus adds to each series."""

UP: Final = f'up{{instance="{INSTANCE}",job="{JOB}"}}'

_SERIES: Final = re.compile(r"(?P<name>[\w:]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")


class Scrapes:
    """Scrapes of one service, one after another.

    Each stands for some minutes. Every minute of these has the values that were scraped, as they were
    scraped: so hours take no longer than their scrapes. What a counter rises by from one scrape to the next
    was really counted.

    Parameters
    ----------
    client
        A client of the service.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.minutes = 0
        """So many have been scraped."""
        self._values: dict[str, list[str]] = {}

    def of(self, client: httpx.Client) -> Self:
        """Go on with a service that has taken the place of the one before."""
        self.client = client
        return self

    def take(self, minutes: int = 1) -> Self:
        """Scrape once, for so many minutes; whether or not the service answers."""
        found = self._scraped()
        for series in found.keys() - self._values.keys():
            self._values[series] = ["_"] * self.minutes
        for series, values in self._values.items():
            if series in found:
                values += [found[series]] * minutes
            else:  # Prometheus notes that a series has ended, and then knows nothing of it
                ended = "_" if not values or values[-1] in ("_", "stale") else "stale"
                values += [ended] + ["_"] * (minutes - 1)
        self.minutes += minutes
        return self

    def slower(self, times: int) -> Self:
        """Return the same scrapes, each for so many times as long."""
        slow = copy(self)
        slow.minutes = times * self.minutes
        slow._values = {
            series: [value for value in values for _ in range(times)]
            for series, values in self._values.items()
        }
        return slow

    def series(self, names: Container[str]) -> list[dict[str, str]]:
        """Return those of some names as promtool takes them, with a value every minute."""
        return [
            {"series": series, "values": " ".join(values)}
            for series, values in self._values.items()
            if series.partition("{")[0] in names
        ]

    def names(self) -> set[str]:
        """Return the names of all series."""
        return {name.partition("{")[0] for name in self._values}

    def _scraped(self) -> dict[str, str]:
        """Return the values of all series, as text, by their names with all labels."""
        try:
            answer = self.client.get("/metrics")
        except httpx.TransportError:
            return {UP: "0"}
        if answer.status_code != 200:
            return {UP: "0"}
        found = {UP: "1"}
        for line in answer.text.splitlines():
            if line and not line.startswith("#"):
                match = _SERIES.fullmatch(line)
                assert match is not None, line
                labels = ",".join(filter(None, [f'instance="{INSTANCE}",job="{JOB}"', match["labels"]]))
                found[f"{match['name']}{{{labels}}}"] = match["value"]
        return found
