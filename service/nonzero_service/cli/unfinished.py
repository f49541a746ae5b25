"""What is kept of a training that is stopped half-way: its models, under names that tell so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from typing import Final

from nonzero.formats import Parsed
from nonzero.model.side_by_side import SideBySide
from nonzero.sources.files import Source
from nonzero.sources.places import Place
from nonzero.sources.store_errors import StoreError
from nonzero.sources.stores import is_there
from nonzero_service.cli.outputs import as_before
from nonzero_service.cli.trying import Candidate, to_save

ENDING: Final = ".partial"
"""Behind the name that a model was to get: whoever finds a file of that name itself has a whole training."""


class Unfinished:
    """Follows a training, and keeps what it has learned where it is stopped.

    Parameters
    ----------
    candidates
        What learns.
    several
        Its learning.
    places
        The files that were to be saved; none where nothing was.
    """

    def __init__(self, candidates: Sequence[Candidate], several: SideBySide, places: Sequence[Place]) -> None:
        self._candidates = candidates
        self._several = several
        self._places = places
        self._source: Source | None = None
        self._lines = 0

    def read(self, source: Source, parsed: Parsed) -> None:
        """Take note of how far the files have been read.

        Parameters
        ----------
        source
            The file.
        parsed
            Its next part.
        """
        if source is not self._source:
            self._source, self._lines = source, 0
        self._lines += parsed.lines_read

    def keep(self) -> str:
        """Save what was learned so far, where a model was to be saved; return what was kept and what not."""
        self._several.finish()
        learned = max(one.examples for one in self._candidates)
        if not learned or self._source is None:
            return "nothing was learned, and nothing is saved"
        said = f"{learned:,} examples were learned, as far as line {self._lines:,} of {self._source.name}"
        if not self._places:
            return f"{said}; nothing is saved, for there is no --model"
        saved = []
        for one, place in to_save(self._candidates, self._places):
            try:
                path = _free(place)
                one.learner.save(path)
            except (OSError, StoreError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                return f"{said}; that cannot be saved beside {place}: {why}"
            saved.append(str(path))
        names = ", ".join(saved)
        others = ", ".join(f"{one} is {as_before(one)}" for one in self._places)
        return f"{said}, and saved as {names}, which --from goes on from; {others}"


def _free(place: Place) -> Place:
    """Return a name that tells what the file is, and that no other has."""
    endings = chain([ENDING], (f"{ENDING}-{n}" for n in count(2)))
    return next(path for ending in endings if not is_there(path := place.with_name(f"{place.name}{ending}")))
