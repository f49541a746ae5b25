"""What the service can be asked: each call once, for both clients."""

from __future__ import annotations

from nonzero_client.challenging import Challenging
from nonzero_client.learning import Learning
from nonzero_client.managing import Managing
from nonzero_client.predicting import Predicting


class Calls(Learning, Predicting, Managing, Challenging):
    """Everything that the service can be asked."""
