"""Services that alerts are about, and what is scraped of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from deploy.scrapes import Scrapes
from service.conftest import ServiceProcess, Start

Scrape = Callable[[ServiceProcess], Scrapes]


@pytest.fixture
def serve(start: Start) -> Start:
    """Start services of small models, whose breaker is off but where it is asked for."""
    return partial(start, bits=12, breaker="off")


@pytest.fixture
def scrapes() -> Iterator[Scrape]:
    """Scrape a service."""
    with ExitStack() as stack:
        yield lambda service: Scrapes(stack.enter_context(service.client()))
