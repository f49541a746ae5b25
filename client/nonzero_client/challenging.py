"""Challengers: how one compares with its champion, and that it takes its place."""

from __future__ import annotations

from typing import cast

from nonzero_client.answers import Comparison, Promoted
from nonzero_client.asking import Asking, json_of, path_of
from nonzero_client.messages import Request


class Challenging(Asking):
    """Calls about challengers; :meth:`create_model` makes one, with ``{"follows": "default"}``."""

    async def comparison(
        self, challenger: str, model: str = "default", *, deadline: float | None = None
    ) -> Comparison:
        """Compare a challenger with the model that it follows.

        Parameters
        ----------
        challenger
            The challenger's name.
        model
            Whom it follows.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Comparison
            Each example was predicted by both, just before each learned from it.

        Raises
        ------
        ConflictError
            Where it does not follow that model, or learns no more.
        ClientError
            For any other end.

        Examples
        --------
        >>> _ = client.create_model("faster", {"follows": "empty", "learning_rate": 0.3})
        >>> client.comparison("faster", model="empty")["verdict"]
        'undecided'
        >>> client.delete_model("faster")
        """
        request = Request("GET", path_of(model, "comparison"), query={"with": challenger})
        return cast("Comparison", json_of(await self._exchange.send(request, deadline)))

    async def promote(
        self, challenger: str, model: str = "default", *, deadline: float | None = None
    ) -> Promoted:
        """Let a challenger's state and settings go on under the name of the model that it follows.

        It is not sent again when its answer is lost.

        Parameters
        ----------
        challenger
            The challenger's name; there is no model of this name then.
        model
            Whom it follows.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Promoted
            From which position of the journal on it goes on.

        Raises
        ------
        ConflictError
            Where it does not follow that model, is not as far, or learns no more.
        ClientError
            For any other end. Where ``outcome_unknown`` is true, :meth:`get_model` tells who follows still.

        Examples
        --------
        >>> from nonzero_client import ConflictError
        >>> try:
        ...     client.promote("nobody", model="empty")
        ... except ConflictError as error:
        ...     print(error.status, error.title)
        409 Conflict
        """
        request = Request(
            "POST", path_of(model, "promote"), query={"with": challenger}, changes=True, repeatable=False
        )
        return cast("Promoted", json_of(await self._exchange.send(request, deadline)))
