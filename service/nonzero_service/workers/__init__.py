"""More processes: one writes, the others predict from the memory that it writes to.

::

             one address (SO_REUSEPORT)
        ┌──────────────┼───────────────┐
     writer         worker 1        worker 2        processes
        │  ▲           │ ▲
        │  └─requests──┘ └──descriptors of models
        ▼
     journal, learner, snapshots; the models' memory, which workers map for reading

The **writer** is the service as it is with one process, and starts the others (:mod:`.pool`). A **worker**
(:mod:`nonzero_service.predictor`) answers one kind of request itself: predictions of a model that it has
mapped, by the code that the writer has for them. Everything else it forwards to the writer, which answers it
(:mod:`.forward_server`). The connections for that it makes itself, and hands to the writer through their
channel (:mod:`.channel`): there is no address at which anybody else could speak to the writer so.

So a worker needs to know little, and what it does not know costs a detour and nothing else: a model that it
has not mapped yet, or no longer, is the writer's. A model that is deleted is withdrawn first, by a mark in
the memory itself, which each prediction looks at; then the deletion is answered.

A worker keeps nothing that is not elsewhere: one that ends is replaced. Where the writer ends, all end.

This folder is the writer's side, and what both say to each other.
"""
