"""The demonstration: a click log replayed through the service over HTTP."""
