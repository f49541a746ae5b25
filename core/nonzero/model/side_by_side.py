"""Several models that learn from the same stream, which is read and parsed once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Self

from nonzero.batches.batch import Batch
from nonzero.model.logistic_regression import LogisticRegression


class SideBySide:
    """Models that take turns at each batch, on some threads.

    Each model learns the batches in their order, one thread at a time: it comes to the bits that it would
    come to alone. Learning releases the GIL, so several models learn at once.

    Parameters
    ----------
    models
        At least one. Nobody else may teach them meanwhile.
    threads
        How many learn at once, the caller's among them. The others end with :meth:`close`.

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
    >>> [model.examples for model in models]
    [2, 2]
    """

    def __init__(self, models: Sequence[LogisticRegression], threads: int) -> None:
        self.models = tuple(models)
        self.seconds = [0.0] * len(self.models)
        self._batches: Sequence[Batch] = ()
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
        """Have each model learn from a batch; return when all have.

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
        self._batches = batches
        # Those that take long first: so the threads are done at about the same time.
        self._left.extend(sorted(range(len(self.models)), key=lambda k: -self.seconds[k]))
        for _ in self._helpers:
            self._begin.release()
        self._take_turns()
        for _ in self._helpers:
            self._done.acquire()
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
                self.models[k].learn_checked(self._batches[k])
            except BaseException as error:  # noqa: BLE001 - raised by who calls learn
                self._errors.append(error)
            self.seconds[k] += time.thread_time() - start
