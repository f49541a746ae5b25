"""``nonzero train --ray``: files that are read, parsed and hashed by the tasks of a Ray cluster."""
