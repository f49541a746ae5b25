"""Nonzero as a service and as a command."""
