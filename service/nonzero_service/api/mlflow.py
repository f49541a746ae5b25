"""MLflow's scoring protocol (2.0 and later): predictions of the rows of a table."""

from __future__ import annotations

from functools import partial

from starlette.types import Receive, Scope

from nonzero import Batch
from nonzero.model.notes import noted_booleans
from nonzero_service.api.other_protocols import OtherProtocol
from nonzero_service.api.queries import check_query
from nonzero_service.bodies.content import content_of, unknown_type
from nonzero_service.bodies.invocation_bodies import invocation_answer, read_invocation
from nonzero_service.bodies.json_bodies import bad_examples
from nonzero_service.bodies.reading import within
from nonzero_service.bodies.tables import TableQuery, table_query, table_reader
from nonzero_service.http.routing import model_of
from nonzero_service.media_types import CSV, JSON
from nonzero_service.problems import Problem
from nonzero_service.service import Predictable


class Invoke(OtherProtocol):
    """``POST /invocations``, to the model that ``?model=`` names, or ``default``."""

    async def answer(self, scope: Scope, receive: Receive) -> bytes:
        """Return the probabilities of a request's rows."""
        query = check_query(scope, ("model", *TableQuery._fields))
        served = self.service.models.get_readable(model_of(scope))
        content = content_of(scope)
        if content.media not in (JSON, CSV):
            raise unknown_type(content.media, scope["target"].route.accepts)
        columns = table_query(query, content)
        bodies = self.service.bodies
        body = await bodies.json(content, receive)
        if columns is not None:
            found = await self.predict(served, body, partial(self._rows, served, columns))
        else:
            text = await bodies.offload(len(body), read_invocation, body, self.bounds)
            found = await self.predict_text(served, content, body, text)
        return invocation_answer(found)

    def _rows(self, served: Predictable, columns: TableQuery, body: bytes) -> Batch:
        """Read the rows of a table of text, all of them or none."""
        settings = self.service.settings
        boolean, longest = noted_booleans(served.model.notes), int(settings.max_line_bytes)
        reader = table_reader(CSV, columns, served.model.schema, boolean, longest, labelled=False)
        parts = [within(part, settings.max_features) for part in (reader.feed(body), reader.finish())]
        errors = [error for part in parts for error in part.errors]
        if errors:
            raise bad_examples(errors, "a row", "rows")
        batch = Batch.concatenate([part.batch for part in parts if len(part.batch)])
        if len(batch) > settings.max_examples:
            most = settings.max_examples
            raise Problem(413, f"a request has at most {most} rows, not {len(batch)}; send fewer at once")
        return batch
