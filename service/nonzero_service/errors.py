"""The exceptions of the service; :mod:`nonzero_service.problems` says how each is answered.

::

    NonzeroError
    └── ServiceError
        ├── NotReadyError        the service is still opening its models
        ├── UnknownModelError    no model has that name
        ├── ModelExistsError     a model has that name already
        ├── TooLargeError        a model takes more memory than is left
        ├── QueueFullError       a learner has as much before it as it may hold
        ├── KeyInFlightError     another request with the same idempotency key is being read
        ├── KeyReusedError       an idempotency key came with another body
        ├── NotHeldError         there is nothing to resume
        ├── ClockRightError      the journal's clock is the machine's
        ├── KeyUnrecognisedError what a key came with is accepted otherwise than before
        ├── GivenUpError         whoever asked for it has gone
        ├── AddressError         the address cannot be listened on
        ├── StartError           the service cannot start; the log has said why
        ├── WorkerError          a process of the service has ended, or could not begin
        │   └── ChannelError     what one process said to another cannot be understood
        ├── WriterLostError      the process that learns has ended, or does not answer
        ├── LabelInFlightError   another label of the same impression is being learned from
        └── ClosedError          used after it was closed
"""

from __future__ import annotations

from nonzero.errors import NonzeroError


class ServiceError(NonzeroError):
    """Something the service cannot do now, or for that name."""


class NotReadyError(ServiceError):
    """The service is still opening its models."""


class UnknownModelError(ServiceError):
    """No model has that name."""


class ModelExistsError(ServiceError):
    """A model has that name already."""


class TooLargeError(ServiceError):
    """A model takes more memory than is left."""


class QueueFullError(ServiceError):
    """A learner has as much before it as it may hold."""


class KeyInFlightError(ServiceError):
    """Another request with the same idempotency key is being read."""


class KeyReusedError(ServiceError):
    """An idempotency key came with another body than the first time."""


class GivenUpError(ServiceError):
    """Whoever asked for it has gone, before it was journalled."""


class LabelInFlightError(ServiceError):
    """Another label of the same impression is being learned from."""


class NotHeldError(ServiceError):
    """There is nothing to resume: learning is not paused."""


class ClockRightError(ServiceError):
    """There is nothing to set: the journal's clock is the machine's."""


class KeyUnrecognisedError(ServiceError):
    """Of the body of an idempotency key other examples are accepted now than when it came first."""


class ClosedError(ServiceError):
    """Used after it was closed."""


class AddressError(ServiceError):
    """The address cannot be listened on."""


class StartError(ServiceError):
    """The service cannot start; the log has said why."""


class WorkerError(ServiceError):
    """A process of the service has ended, or could not begin."""


class ChannelError(WorkerError):
    """What one process of the service said to another cannot be understood, or not be sent."""


class WriterLostError(ServiceError):
    """The process that learns has ended, or does not answer."""
