"""Traces: what a request says of the trace that it belongs to."""
