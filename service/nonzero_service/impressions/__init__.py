"""Impressions: what was predicted with an ``id``, kept until its label comes or its window ends.

Beside a model's journal stands a directory::

    impressions/
        00000000000000000000.rows      records, one after another, each with its features, as hashed rows
        00000000000000000000.states    one byte a record: what has become of it
        00000000000001048576.rows      the next ones, after a million or a quarter of the time they are kept
        ...

An impression has a number, counted from 0. What is learned from one is a row of the journal with its features
inside and the numbers beside them, so the model never depends on these files; from the rows a start learns
what became of impressions whose state byte a crash has lost.

In memory an impression takes 33 bytes: its hash, time, place, state and a share of an index
(:mod:`~nonzero_service.impressions.segment`). The features stay on disk.
"""
