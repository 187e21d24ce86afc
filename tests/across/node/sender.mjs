// Sends one conversation's spans as OpenTelemetry's exporter for OTLP in JSON does: node sender.mjs ENDPOINT gzip|none
//
// That exporter (@opentelemetry/exporter-trace-otlp-http) is these three parts put together, which are here
// already, as the exporter for protobuf is made of them, too.

import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import { JsonTraceSerializer, TraceExporterMetricsHelper } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [url, compression] = process.argv.slice(2);
const options = convertLegacyHttpOptions({ url, compression }, "TRACES", "v1/traces", {
  "Content-Type": "application/json",
});
const exporter = new OTLPExporterBase(
  createOtlpHttpExportDelegate(
    options,
    JsonTraceSerializer,
    "otlp_http_json_span_exporter",
    TraceExporterMetricsHelper,
  ),
);
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "assistant" }),
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});
provider.register();
const tracer = provider.getTracer("assistant", "1.0");

const attributes = {
  "session.id": "from-node",
  "openinference.span.kind": "CHAIN",
  "input.value": "hé 🙂",
  "output.value": "ok",
  numbers: [1, 2.5, -3],
  flags: [true, false],
  large: Number.MAX_SAFE_INTEGER,
  half: 0.5,
};
tracer.startActiveSpan("chain", { kind: SpanKind.SERVER, attributes }, (span) => {
  tracer.startActiveSpan("tool", { attributes: { "openinference.span.kind": "TOOL" } }, (inner) => {
    inner.recordException(new TypeError("no"));
    inner.setStatus({ code: SpanStatusCode.ERROR, message: "no" });
    inner.end();
  });
  span.end();
});
await provider.shutdown();
