"""The service: Nonzero over HTTP."""
