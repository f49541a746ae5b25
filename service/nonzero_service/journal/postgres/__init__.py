"""The journal in PostgreSQL, which the nodes of a cluster share."""
