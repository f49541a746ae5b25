"""Tracer: makes spans by OpenTelemetry's SDK, and sends them by OTLP over HTTP, beside the work.

OpenTelemetry is an extra. Nothing here is imported before a tracer is made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Final

from nonzero import SettingsError, __version__
from nonzero_service.tracing.trace_context import TraceContext

LAST_SECONDS: Final = 1.0
"""How long the end of the process waits for spans to be sent."""

MISSING: Final = "otel is on, and OpenTelemetry is not installed ({name}): pip install 'nonzero-ctr[otel]'"

EXPORTERS: Final = ("otlp", "none")
"""What OTEL_TRACES_EXPORTER may say."""


class Tracer:
    """Makes the spans of a process.

    Parameters
    ----------
    process
        What every span says of the process.
    """

    def __init__(self, process: Mapping[str, str | int]) -> None:
        try:
            self._api = import_module("opentelemetry.trace")
            self._no_context = import_module("opentelemetry.context").Context()
            self._provider = _provider(process)
        except ModuleNotFoundError as error:
            raise SettingsError(MISSING.format(name=error.name)) from error
        except ValueError as error:
            raise SettingsError(f"otel is on, and a variable OTEL_* cannot be used: {error}") from error
        self._tracer = self._provider.get_tracer("nonzero", __version__)
        self._failed = self._api.Status(self._api.StatusCode.ERROR)

    def begin_request(self, method: str, route: str, parent: TraceContext | None) -> Any:
        """Return the span of a request that begins now, a child of the span that it was made in."""
        return self._tracer.start_span(
            f"{method} {route}",
            context=self._no_context if parent is None else self._remote(parent),
            kind=self._api.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
        )

    def end_request(self, span: Any, status: int, **attributes: str) -> None:
        """End the span of a request that was answered so."""
        if span.is_recording():
            span.set_attribute("http.response.status_code", status)
            span.set_attributes(attributes)
            if status >= 500:
                span.set_status(self._failed)
        span.end()

    def commit(
        self, model: str, time_ns: tuple[int, int], position: int, rows: int, nbytes: int, of: Iterable[Any]
    ) -> None:
        """Make the span of a commit.

        Parameters
        ----------
        model
            Whose journal it is.
        time_ns
            When it began and ended, in nanoseconds since 1970.
        position
            Of the last row.
        rows, nbytes
            How much it was.
        of
            The spans of the requests that have rows in it: it is linked to those that are recorded.
        """
        contexts = [span.get_span_context() for span in of]
        span = self._tracer.start_span(
            "commit",
            context=self._no_context,
            attributes={
                "nonzero.model": model,
                "nonzero.position": position,
                "nonzero.rows": rows,
                "nonzero.bytes": nbytes,
            },
            links=[self._api.Link(context) for context in contexts if context.trace_flags.sampled],
            start_time=time_ns[0],
        )
        span.end(time_ns[1])

    def ids(self, span: Any) -> dict[str, str]:
        """Return what the log says of a span; nothing where the SDK is disabled."""
        context = span.get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def shutdown(self) -> None:
        """Send what has not been sent, as long as there is time."""
        sending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(LAST_SECONDS)

    def _remote(self, parent: TraceContext) -> Any:
        """Return the context of a span that another process has made."""
        context = self._api.SpanContext(
            int(parent.trace_id, 16), int(parent.span_id, 16), True, self._api.TraceFlags(parent.flags)
        )
        return self._api.set_span_in_context(self._api.NonRecordingSpan(context), self._no_context)


def _provider(process: Mapping[str, str | int]) -> Any:
    """Return the SDK's provider, set by the variables ``OTEL_*``."""
    sdk = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")
    resources = import_module("opentelemetry.sdk.resources")
    otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    named = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() or "otlp"
    if named not in EXPORTERS:
        raise ValueError(f"OTEL_TRACES_EXPORTER is {named!r}; it is one of {', '.join(EXPORTERS)}")
    resource = resources.Resource.create({"service.version": __version__, **process})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(resources.Resource({"service.name": "nonzero"}))
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    if named == "otlp":
        provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return provider
