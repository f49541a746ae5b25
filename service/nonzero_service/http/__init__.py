"""What stands between the socket and the API, in the order in which a request meets it.

``connection`` has the socket, and ``parser`` finds requests in its bytes; ``head`` reads a head once and says
which are none. ``pipeline`` has one request of a connection answered after another. ``guard`` lets it in, by
its token (``tokens``), by whose page asks (``origins``) and by the room that there is (``admission``).
``start_queue`` has it begin in its turn; ``rejections`` answers what was not let in after a while.
``dispatch`` looks its route up (``routing``) and has it answered: without a task where the route can do so
(``inline``), else by a task of its endpoint. ``cycle`` is one request with its answer; ``accounting`` counts
and logs it. ``timeouts`` ends what takes too long; ``accepting`` takes new connections beside the event loop.
"""
