// A service in Node whose answers come from OpenAI's client: node assistant.mjs, with OPENAI_BASE_URL.
//
// Nothing in it chooses an id. The session comes with the request, in W3C baggage; OpenTelemetry's baggage
// processor writes it to every span, and OpenInference's setSession gives it to the spans of its instrumentors.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import { setSession } from "@arizeai/openinference-core";
import { OpenAIInstrumentation } from "@arizeai/openinference-instrumentation-openai";
import { OpenInferenceSpanKind, SemanticConventions } from "@arizeai/openinference-semantic-conventions";
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, propagation, trace } from "@opentelemetry/api";
import { BaggageSpanProcessor } from "@opentelemetry/baggage-span-processor";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import OpenAI from "openai";

const OF_THE_CONVERSATION = new Set([SemanticConventions.SESSION_ID, SemanticConventions.USER_ID]);

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "assistant" }),
  spanProcessors: [
    new BaggageSpanProcessor((key) => OF_THE_CONVERSATION.has(key)),
    new SimpleSpanProcessor(new OTLPTraceExporter()),
  ],
});
provider.register({
  propagator: new CompositePropagator({
    propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
  }),
});
const openInference = new OpenAIInstrumentation({ tracerProvider: provider });
openInference.manuallyInstrument(OpenAI); // an ES module cannot be patched while it is loaded

const tracer = trace.getTracer("assistant");
const client = new OpenAI({ apiKey: "x", maxRetries: 0 });

// Run a function in a span of its own, which shows how it ended.
function inSpan(name, options, run) {
  return tracer.startActiveSpan(name, options, async (span) => {
    try {
      return await run(span);
    } catch (error) {
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

// The assistant of Phoenix's page on sessions.
function assistant(messages, sessionId) {
  const attributes = {
    [SemanticConventions.OPENINFERENCE_SPAN_KIND]: OpenInferenceSpanKind.AGENT,
    [SemanticConventions.INPUT_VALUE]: messages.at(-1).content,
  };
  return inSpan("agent", { attributes }, (span) => {
    const inSession = sessionId ? setSession(context.active(), { sessionId }) : context.active();
    return context.with(inSession, async () => {
      const completion = await client.chat.completions.create({ model: "test", messages });
      const { content } = completion.choices[0].message;
      span.setAttribute(SemanticConventions.OUTPUT_VALUE, content);
      return content;
    });
  });
}

async function answer(request) {
  const { question } = JSON.parse(await text(request));
  const sessionId = propagation.getActiveBaggage()?.getEntry(SemanticConventions.SESSION_ID)?.value;
  return { text: await assistant([{ role: "user", content: question }], sessionId) };
}

const server = createServer((request, response) => {
  const caller = propagation.extract(ROOT_CONTEXT, request.headers);
  const options = { kind: SpanKind.SERVER };
  context
    .with(caller, () => inSpan(`${request.method} ${request.url}`, options, () => answer(request)))
    .then(
      (body) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body)),
      (error) => response.writeHead(500).end(String(error)),
    );
});

server.listen(0, "127.0.0.1", () => console.log(`listening on port ${server.address().port}`));

process.on("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
  provider.shutdown();
});
