"""The models of the cluster that a node knows of: those that the catalogue lists."""

from __future__ import annotations

import asyncio
from collections import UserDict
from collections.abc import Callable

import structlog

from nonzero_service.cluster.caching import ModelCache
from nonzero_service.cluster.member import Member
from nonzero_service.cluster.member_opening import MemberOpening
from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres.catalogue import Catalogue
from nonzero_service.logs import described


class NodeMembers(UserDict[str, Member]):
    """The members by their names. Used on the event loop.

    Parameters
    ----------
    catalogue
        Lists the models that there are.
    cache
        Has their directories.
    opening
        Closes those that are there no more.
    withdraw
        Lets no model of a name be read any more.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        cache: ModelCache,
        opening: MemberOpening,
        withdraw: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._cache = cache
        self._opening = opening
        self._withdraw = withdraw
        self._log = structlog.get_logger("cluster")

    def numbers(self) -> set[int]:
        """Return the numbers of all in the catalogue."""
        return {one.model.id for one in self.values()}

    def closed(self, term: int | None) -> list[Member]:
        """Return those that are not open in the role that their node has: under a term, or following."""
        return [one for one in self.values() if not one.is_open or one.term != term]

    async def refresh(self, *, put_away: bool = False) -> None:
        """Know the models that there are, and let go of those that there are no more.

        Parameters
        ----------
        put_away
            Whether directories of other models are put away.
        """
        models = await asyncio.to_thread(self._catalogue.models)
        there = {one.id for one in models}
        for member in [one for one in self.values() if one.model.id not in there]:
            await self.drop(member)
        if put_away:
            await asyncio.to_thread(self._cache.put_away_others, models)
        for model in models:
            if model.name not in self:
                self[model.name] = Member(model)

    async def drop(self, member: Member) -> None:
        """Let go of a model that was removed."""
        del self[member.name]
        self._withdraw(member.name)
        await self._opening.close(member)
        try:
            await asyncio.to_thread(self._cache.remove, member.model)
        except OSError as error:
            self._log.warning("what is of no use could not be removed", model=member.name, reason=str(error))
        self._log.info("a model was removed", model=member.name)

    async def have_lost(self, error: Exception) -> bool:
        """Whether a model was removed while it was opened: its rows may be given up at any moment.

        Parameters
        ----------
        error
            Why it could not be opened.
        """
        try:
            there = {one.id for one in await asyncio.to_thread(self._catalogue.models)}
        except JournalUnreachableError:
            return True  # it is asked again, with all
        gone = [one.name for one in self.values() if not one.is_open and one.model.id not in there]
        if gone:
            self._log.info("a model was removed while it was opened", models=gone, reason=described(error))
        return bool(gone)
