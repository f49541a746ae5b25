"""What several nodes over PostgreSQL do, and what it costs: ``python -m bench.cluster``."""
