"""What the writer starts: ``python -m nonzero_service.predictor PID``, its channel as standard input.

PID is the writer's.
"""

import sys

from nonzero_service.predictor.parent_death import wake_with_end_of

wake_with_end_of(int(sys.argv[1]))

from nonzero_service.structlog_import import import_structlog  # noqa: E402

import_structlog()

from nonzero_service.predictor.server import main  # noqa: E402 - importing it takes seconds

main()
