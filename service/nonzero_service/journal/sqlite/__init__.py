"""A journal in a file of SQLite: embedded, the one of a service that runs by itself."""
