"""Several models that learn from the same stream, which is read and parsed once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Self

from nonzero.batches.batch import Batch
from nonzero.model.logistic_regression import LogisticRegression

TURN: Final = 3 << 19
"""Several models take turns at so many nonzeros, about 40,000 rows of 39.

After a turn a model's rows that come often have left the cache, and its next turn brings them back. With
turns of 2,600 rows, which would leave the batch itself in a core's cache, eight models of eight lanes took
1.3 to 1.5 times the processor time that they take one after another; of 10,000 rows 1.1 to 1.3; of 40,000
1.02 to 1.09. With one lane all are within the noise.
"""


class SideBySide:
    """Models that take turns at a stream, on some threads.

    Each model learns the batches in their order, one thread at a time: it comes to the bits that it would
    come to alone. Learning releases the GIL, so several models learn at once.

    Batches are gathered until a turn is worth its while. So what a model has learned is there after
    :meth:`finish`; a single model learns at once.

    Parameters
    ----------
    models
        At least one. Nobody else may teach them meanwhile.
    threads
        How many learn at once, the caller's among them. The others end with :meth:`close`.
    turn
        How many nonzeros are gathered.

    Attributes
    ----------
    models
        As given.
    seconds
        The processor time that each has taken to learn, in seconds.

    Examples
    --------
    >>> from nonzero import AdaGrad
    >>> batch = Batch.from_dicts([{"site": "news"}, {"site": "blog"}], labels=[1, 0])
    >>> models = [LogisticRegression(bits=10), LogisticRegression(bits=12, optimizer=AdaGrad(0.1))]
    >>> with SideBySide(models, threads=2) as several:
    ...     several.learn([batch, batch])
    ...     several.finish()
    >>> [model.examples for model in models]
    [2, 2]
    """

    def __init__(self, models: Sequence[LogisticRegression], threads: int, turn: int = TURN) -> None:
        self.models = tuple(models)
        self.seconds = [0.0] * len(self.models)
        self._turn = turn if len(self.models) > 1 else 0
        self._waiting: list[Sequence[Batch]] = []
        self._nonzeros = 0
        self._left: deque[int] = deque()
        self._errors: list[BaseException] = []
        self._begin, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._closing = False
        self._helpers = [
            threading.Thread(target=self._help, name="learner", daemon=True)
            for _ in range(min(threads, len(self.models)) - 1)
        ]
        for helper in self._helpers:
            helper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def learn(self, batches: Sequence[Batch]) -> None:
        """Have each model learn from a batch, now or together with the next ones.

        Parameters
        ----------
        batches
            One a model, which :meth:`~nonzero.LogisticRegression.check` of the model accepts; it may be the
            same object for several.

        Raises
        ------
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> batch = Batch.from_dicts([{"site": "news"}], labels=[1])
        >>> with SideBySide([LogisticRegression(bits=10)], threads=1) as one:
        ...     one.learn([batch])
        ...     one.models[0].examples
        1
        """
        self._waiting.append(batches)
        self._nonzeros += max(batch.nnz + len(batch) for batch in batches)
        if self._nonzeros >= self._turn:
            self.finish()

    def finish(self) -> None:
        """Have each model learn from what waits; return when all have.

        Raises
        ------
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> SideBySide([LogisticRegression(bits=10)], threads=1).finish()
        """
        # Those that take long first: so the threads are done at about the same time.
        self._left.extend(sorted(range(len(self.models)), key=lambda k: -self.seconds[k]))
        for _ in self._helpers:
            self._begin.release()
        self._take_turns()
        for _ in self._helpers:
            self._done.acquire()
        self._waiting, self._nonzeros = [], 0
        if self._errors:
            raise self._errors.pop(0)

    def close(self) -> None:
        """End the other threads; may be called again.

        Examples
        --------
        >>> several = SideBySide([LogisticRegression(bits=10), LogisticRegression(bits=10)], threads=2)
        >>> several.close()
        """
        self._closing = True
        for _ in self._helpers:
            self._begin.release()
        for helper in self._helpers:
            helper.join()
        self._helpers = []

    def _help(self) -> None:
        while True:
            self._begin.acquire()
            if self._closing:
                return
            self._take_turns()
            self._done.release()

    def _take_turns(self) -> None:
        """Let models learn that nobody has taken yet."""
        while True:
            try:
                k = self._left.popleft()
            except IndexError:
                return
            start = time.thread_time()
            try:
                for batches in self._waiting:
                    self.models[k].learn_checked(batches[k])
            except BaseException as error:  # noqa: BLE001 - raised by who calls learn
                self._errors.append(error)
            self.seconds[k] += time.thread_time() - start
