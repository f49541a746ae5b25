"""Prometheus metrics of the process, by the names that its client libraries give them.

The library's own collector reads text that the kernel makes of every thread, and lists the open files one by
one, letting go of the interpreter's lock at each: with 600 connections and too much to do, answering
``/metrics`` waited for it again and again.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATM: Final = Path("/proc/self/statm")
FILES: Final = Path("/proc/self/fd")


class Process(Collector):
    """Memory, processor time and files of this process, and when it started."""

    def __init__(self) -> None:
        found = ProcessCollector(registry=None).collect()
        self._started = [metric for metric in found if metric.name == "process_start_time_seconds"]

    def collect(self) -> Iterator[Metric]:
        """Yield all of it; nothing where there is no ``/proc``."""
        if not self._started:
            return
        yield from self._started
        size, resident = map(int, STATM.read_bytes().split()[:2])
        used = resource.getrusage(resource.RUSAGE_SELF)
        # How many there are is the directory's size since Linux 6.2.
        files = FILES.stat().st_size or len(list(FILES.iterdir()))
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        page = resource.getpagesize()
        for name, text, value in (
            ("virtual_memory_bytes", "Virtual memory size in bytes.", size * page),
            ("resident_memory_bytes", "Resident memory size in bytes.", resident * page),
            ("open_fds", "Number of open file descriptors.", files),
            ("max_fds", "Maximum number of open file descriptors.", most),
        ):
            yield GaugeMetricFamily(f"process_{name}", text, value)
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            used.ru_utime + used.ru_stime,
        )
