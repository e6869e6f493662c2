"""Traces for OpenTelemetry, an extra: where they go, the `OTEL_*` environment variables say."""

from __future__ import annotations

from tabloop.deployment.edge import App
from tabloop.extras import missing_extra


def traced(app: App) -> App:
    """Wrap an application so that each request is a span, part of the caller's trace where there is one.

    Raises
    ------
    MissingExtraError
        If the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise missing_extra(error, "serving.opentelemetry") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "tabloop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    wrapped: App = OpenTelemetryMiddleware(app, tracer_provider=provider, exclude_spans=["receive", "send"])
    return wrapped
