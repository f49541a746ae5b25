"""``python -m nonzero``: the command line, which the distribution has beside the library."""

from nonzero_service.cli import run

run()
