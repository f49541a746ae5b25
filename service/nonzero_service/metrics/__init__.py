"""What Prometheus is told: of requests, models, the process, and what comes late."""
