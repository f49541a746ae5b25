"""What the writer starts: ``python -m nonzero_service.workers``, its channel as standard input."""

from nonzero_service.workers.worker import main

main()
