"""How other processes come to predict with the models of this one."""

from __future__ import annotations

from typing import Protocol

from nonzero import LogisticRegression

__all__ = ["Publisher", "Unpublished"]


class Publisher(Protocol):
    """Lets other processes read models."""

    @property
    def sharing(self) -> bool:
        """Whether there are other processes, so that models are kept where these can read them."""

    def offer(self, name: str, model: LogisticRegression) -> None:
        """Let other processes predict with a model, whose memory is shared."""

    def withdraw(self, name: str) -> None:
        """Let none begin another prediction with a model: when this returns, none does."""


class Unpublished:
    """There are no other processes."""

    sharing = False

    def offer(self, name: str, model: LogisticRegression) -> None:
        """Tell nobody."""

    def withdraw(self, name: str) -> None:
        """Tell nobody."""
