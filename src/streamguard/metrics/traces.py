"""Traces by OpenTelemetry (extra `otel`): one from the record of a transaction to its decision, by the header `traceparent`.

`STREAMGUARD_TRACE_SAMPLE` is the share of transactions that the generator begins a trace with; other processes follow what a
record's header says (W3C Trace Context), also a foreign producer's. With 0, the default, nothing of OpenTelemetry is imported.
Spans are sent by OTLP over HTTP; where to, say the variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamguard.config import Settings, UserError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

HEADER = "traceparent"


class MissingExtra(UserError):
    """Traces are asked for, and OpenTelemetry is not installed."""


class Tracer:
    """Begins and sends spans; instants are nanoseconds of the epoch. Safe for several threads."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("streamguard")
        self._propagator = TraceContextTextMapPropagator()

    def begin(
        self, name: str, start_ns: int, parent: bytes | None = None, about: Mapping[str, Any] | None = None
    ) -> Span:
        """A span from `start_ns` on, below the one that a header names; a new trace without."""
        from opentelemetry.context import Context

        carrier = {} if parent is None else {HEADER: parent.decode("ascii", "replace")}
        context = self._propagator.extract(carrier, Context())
        return self._tracer.start_span(name, context, start_time=start_ns, attributes=dict(about or {}))

    def header(self, span: Span) -> bytes | None:
        """The header that continues the trace of a span; None where that is not sampled."""
        from opentelemetry.trace import set_span_in_context

        if not span.get_span_context().trace_flags.sampled:
            return None
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier[HEADER].encode()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def tracer_of(process: str, settings: Settings) -> Tracer | None:
    """What traces this process; None where no sample is asked for. Raises MissingExtra."""
    if not settings.trace_sample:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError:
        raise MissingExtra(
            "STREAMGUARD_TRACE_SAMPLE asks for traces, and OpenTelemetry is not installed: pip install 'streamguard[otel]',"
            " or set it to 0"
        ) from None
    resource = Resource.create({"service.name": f"streamguard-{process}"})
    provider = TracerProvider(
        resource=resource, sampler=ParentBasedTraceIdRatio(settings.trace_sample), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)
