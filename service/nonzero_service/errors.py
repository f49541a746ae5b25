"""The exceptions of the service; :mod:`nonzero_service.problems` says how each is answered.

::

    NonzeroError
    └── ServiceError
        ├── UnknownModelError    no model has that name
        ├── TooLargeError        a model takes more memory than is left
        ├── KeyReusedError       an idempotency key came with another body
        ├── ChallengerSettingsError          a challenger cannot be what was asked for
        ├── ConflictError        it does not go with how things stand
        │   ├── ModelExistsError     a model has that name already
        │   ├── KeyInFlightError     another request with the same idempotency key is being read
        │   ├── KeyUnrecognisedError what a key came with is accepted otherwise than before
        │   ├── IsChallengerError         it is a challenger, and what was asked is for its champion
        │   ├── HasChallengersError        it has challengers, as many as may be, or as may not
        │   ├── ChallengerError      it is not compared with that, or learns no more
        │   ├── NotHeldError         there is nothing to resume
        │   ├── OriginError          what was read does not follow what was read before
        │   └── ClockRightError      the journal's clock is the machine's
        ├── NotNowError          the same may be tried again
        │   ├── NotReadyError        the service is still opening its models
        │   ├── QueueFullError       a learner has as much before it as it may hold
        │   ├── GivenUpError         whoever asked for it has gone
        │   ├── NotWritingError      this node follows: what learns is for the one that writes
        │   ├── WriterLostError      who learns has ended, or does not answer; or nobody does
        │   └── ClosedError          used after it was closed
        ├── AddressError         the address cannot be listened on
        ├── StartError           the service cannot start; the log has said why
        └── WorkerError          a process of the service has ended, or could not begin
            ├── ChannelError     what one process said to another cannot be understood
            └── HandshakeError   another node is not let in, or does not let this one in
                └── NotYetWritingError   because the node that was asked does not write
"""

from __future__ import annotations

from nonzero.errors import NonzeroError


class ServiceError(NonzeroError):
    """Something the service cannot do now, or for that name."""


class ConflictError(ServiceError):
    """It does not go with how things stand."""


class NotNowError(ServiceError):
    """It cannot be done now; the same may be tried again."""


class NotReadyError(NotNowError):
    """The service is still opening its models."""


class UnknownModelError(ServiceError):
    """No model has that name."""


class ModelExistsError(ConflictError):
    """A model has that name already."""


class TooLargeError(ServiceError):
    """A model takes more memory than is left."""


class QueueFullError(NotNowError):
    """A learner has as much before it as it may hold."""


class IsChallengerError(ConflictError):
    """It is a challenger: what was asked is for its champion."""


class HasChallengersError(ConflictError):
    """It has challengers: as many as may be, or where there may be none."""


class ChallengerError(ConflictError):
    """It is no challenger of that model, is not as far, or learns no more."""


class ChallengerSettingsError(ServiceError):
    """A challenger cannot be what was asked for."""


class KeyInFlightError(ConflictError):
    """Another request with the same idempotency key is being read."""


class KeyReusedError(ServiceError):
    """An idempotency key came with another body than the first time."""


class NotWritingError(NotNowError):
    """The node follows another: nothing is learned here that does not come from there."""


class GivenUpError(NotNowError):
    """Whoever asked for it has gone, before it was journalled."""


class NotHeldError(ConflictError):
    """There is nothing to resume: learning is not paused."""


class OriginError(ConflictError):
    """What was read of a topic does not follow what the journal says was read before."""


class ClockRightError(ConflictError):
    """There is nothing to set: the journal's clock is the machine's."""


class KeyUnrecognisedError(ConflictError):
    """Of the body of an idempotency key other examples are accepted now than when it came first."""


class ClosedError(NotNowError):
    """Used after it was closed."""


class AddressError(ServiceError):
    """The address cannot be listened on."""


class StartError(ServiceError):
    """The service cannot start; the log has said why."""


class WorkerError(ServiceError):
    """A process of the service has ended, or could not begin."""


class ChannelError(WorkerError):
    """What one process of the service said to another cannot be understood, or not be sent."""


class WriterLostError(NotNowError):
    """The process or the node that learns has ended, or does not answer; or there is none just now."""


class HandshakeError(WorkerError):
    """Another node is not let in, or does not let this one in."""


class NotYetWritingError(HandshakeError):
    """The node that was asked does not write, or not yet: as it is for a moment when another takes over."""
