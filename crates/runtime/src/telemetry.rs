//! Logs, traces and their names. Log lines are JSON and carry the trace id; a finished span is a
//! line too, until a collector takes them.
//! *Invariant:* nothing personal is ever a field.

mod span_lines;

use std::io;
use std::sync::Mutex;

use nexus_es::Heard;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The field that carries the story's id on every span.
pub const STORY: &str = "nexus.story";

/// Where lines go.
pub enum Output {
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(std::fs::File),
}

/// Keeps the pipeline alive; dropping it writes what is still waiting.
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // At the very end nobody is left to tell.
        drop(self.provider.shutdown());
    }
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter text is not one.
    #[error("the log filter \"{filter}\" cannot be read")]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else in this process already logs.
    #[error("telemetry is already running in this process")]
    AlreadyRunning(#[from] tracing_subscriber::util::TryInitError),
    /// A second handle of the log file could not be made.
    #[error("the log file cannot be opened twice")]
    File(#[from] io::Error),
}

/// Starts logs and traces; `filter` as of `tracing_subscriber::EnvFilter`, for example `info`.
///
/// # Errors
/// [`Error`] when the filter is wrong or telemetry already runs.
pub fn init(filter: &str, output: Output) -> Result<Telemetry, Error> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
    let (lines, spans): (Mutex<Box<dyn io::Write + Send>>, Box<dyn io::Write + Send>) = match output
    {
        Output::Stderr => (Mutex::new(Box::new(io::stderr())), Box::new(io::stderr())),
        Output::File(file) => (Mutex::new(Box::new(file.try_clone()?)), Box::new(file)),
    };
    let exporter = span_lines::SpanLines::new(spans);
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    // Places in the source and threads would be two thirds of every line, and tell nothing here.
    let otel = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("nexus"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    let log = tracing_subscriber::fmt::layer()
        .event_format(span_lines::LogLine)
        .with_writer(lines)
        .with_filter(parsed);
    let spans_filter = EnvFilter::new("nexus=info,info");
    tracing_subscriber::registry().with(otel.with_filter(spans_filter)).with(log).try_init()?;
    Ok(Telemetry { provider })
}

struct OneHeader(Option<String>);

impl Injector for OneHeader {
    fn set(&mut self, key: &str, value: String) {
        if key == "traceparent" {
            self.0 = Some(value);
        }
    }
}

impl Extractor for OneHeader {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == "traceparent")
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// W3C trace context of the current span; empty when there is none.
#[must_use]
pub fn current_traceparent() -> String {
    let mut header = OneHeader(None);
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut header);
    header.0.unwrap_or_default()
}

/// Makes `span` a child of the span that `traceparent` names; nothing when it names none.
pub fn set_parent(span: &Span, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let header = OneHeader(Some(traceparent.to_owned()));
    let context = TraceContextPropagator::new().extract(&header);
    if context.span().span_context().is_valid() && span.set_parent(context).is_err() {
        tracing::debug!("a span was started before its parent was known");
    }
}

/// The trace id of the current span, 32 hex digits; empty when there is none.
#[must_use]
pub fn current_trace_id() -> String {
    let context = Span::current().context();
    let span = context.span();
    let span_context = span.span_context();
    if span_context.is_valid() { span_context.trace_id().to_string() } else { String::new() }
}

/// The span in which a process handles an event: a child of the event's own span.
#[must_use]
pub fn process_span(process: &'static str, heard: &Heard) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {process}"),
        otel.kind = "consumer",
        nexus.story = heard.cause.story,
        nexus.event = heard.event_type(),
    );
    set_parent(&span, &heard.cause.traceparent);
    span
}
