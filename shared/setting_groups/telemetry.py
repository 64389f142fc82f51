"""Settings of traces and error reports. Other variables of OpenTelemetry and Sentry are read by their packages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class TelemetrySettings(BaseSettings):
    """Where traces and error reports are sent. Nothing is sent by default."""

    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Address of an OpenTelemetry collector, such as `http://collector:4318`; spans go to `/v1/traces` "
        "below it. Empty: no traces. The standard variables `OTEL_*` work too (see tracing.md)",
    )
    otel_exporter_otlp_traces_endpoint: str | None = Field(
        None,
        description="Full address to which spans are sent, if it is not `/v1/traces` at OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        "http/protobuf", description="Protocol that the collector speaks; gRPC is not supported"
    )
    otel_traces_exporter: Literal["otlp", "none"] = Field(
        "otlp", description="`none`: no traces, even if a collector is set"
    )
    otel_sdk_disabled: bool = Field(False, description="Whether OpenTelemetry is off, even if a collector is set")
    sentry_dsn: str | None = Field(
        None,
        description="Address (DSN) of a project in Sentry, GlitchTip or Bugsink that receives unexpected errors. "
        "Empty: errors are only logged",
        repr=False,
    )

    @property
    def sends_traces(self) -> bool:
        """Whether a collector is set and no other setting turns traces off."""
        named = self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint
        return bool(named) and self.otel_traces_exporter == "otlp" and not self.otel_sdk_disabled
