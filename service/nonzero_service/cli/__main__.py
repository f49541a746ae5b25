"""``python -m nonzero_service.cli``."""

from nonzero_service.cli import run

run()
