"""What is kept, below the learner: the journal, its keys, and the folder of snapshots.

The seam is :class:`~nonzero_service.journal.journal.Journal`. A service that runs by itself has its journals
in files (:mod:`~nonzero_service.journal.sqlite`). A model's directory is then::

    lock                    one process at a time (flock); holds the pid of whoever has it
    journal.sqlite          the journal: the source of truth, of which the model is a fold
    journal.sqlite-wal      its newest rows; as much a part of it as the file itself
    journal.sqlite-shm      an index of the WAL in shared memory; SQLite makes it anew, never copy it
    mark                    the last position that was committed, by which a lost WAL is noticed
    snapshots/
        00000000000000004711.safetensors            the model after position 4711
        00000000000000004200.safetensors            the one before it: at least two are kept
        00000000000000004600.safetensors.damaged    one that could not be read, put aside
        .writing-*              being written, or left by a kill: removed at the next start

The rows (:mod:`~nonzero_service.journal.chain`) are chained by their digests: each covers the whole row and
the digest before it. The idempotency keys (:mod:`~nonzero_service.journal.keys`) are a second chain, whose
newest digest every row carries, so that the row chain vouches for the keys, while rows are pruned behind a
snapshot and keys when they expire, each on its own.

The nodes of a cluster share theirs in a database (:mod:`~nonzero_service.journal.postgres`): the same rows.

This folder is the only one that knows SQL, and knows neither HTTP nor the model.
"""
