"""The version of this distribution; its build reads it here."""

__version__ = "0.2.0"
