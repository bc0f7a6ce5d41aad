//! Logs, traces and their names. Log lines are JSON and carry the trace id; a finished span goes to
//! a collector, or is a line too when there is none.
//! *Invariant:* nothing personal is ever a field, and nobody ever waits for a collector.

pub(crate) mod losses;
mod otlp;
pub mod outgoing;
mod span_lines;

use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nexus_es::Heard;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::metrics;

/// The field that carries the story's id on every span.
pub const STORY: &str = "nexus.story";
/// What spans and metrics call the logs that processes hear.
pub(crate) const MESSAGING_SYSTEM: &str = "nexus";
/// How long the end of a process waits for a collector.
const LAST_WORDS: Duration = Duration::from_secs(3);

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
        let (provider, (told, all)) = (self.provider.clone(), mpsc::channel());
        let last_words = std::thread::Builder::new().spawn(move || {
            // At the very end nobody is left to tell.
            drop(provider.shutdown());
            metrics::shut_down();
            told.send(()).ok();
        });
        if last_words.is_ok() {
            all.recv_timeout(LAST_WORDS).ok();
        }
    }
}

/// How to tell.
pub struct Settings<'a> {
    /// What is logged, as of `tracing_subscriber::EnvFilter`, for example `info`.
    pub filter: &'a str,
    /// Where lines go.
    pub output: Output,
    /// What runs here, for `service.name`: `order`, `gateway`, …, or `up` for all of it.
    pub role: &'a str,
    /// The collector's address for OTLP over gRPC; when none is given, the environment's
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`; when there is none either, spans are lines.
    pub collector: Option<&'a str>,
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
    /// The collector cannot be spoken to as asked.
    #[error("spans and metrics cannot be pushed to a collector")]
    Collector(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A certificate for the collector cannot be read.
    #[error("the collector's certificate {0} cannot be read")]
    Certificate(String, #[source] io::Error),
    /// Only gRPC is spoken.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is \"{0}\": Nexus speaks grpc, on port 4317")]
    Protocol(String),
    /// Something else in this process already logs.
    #[error("telemetry is already running in this process")]
    AlreadyRunning(#[from] tracing_subscriber::util::TryInitError),
    /// A second handle of the log file could not be made.
    #[error("the log file cannot be opened twice")]
    File(#[from] io::Error),
}

/// Starts logs, traces and metrics of everything in one process.
///
/// # Errors
/// As [`start`].
pub fn init(filter: &str, output: Output) -> Result<Telemetry, Error> {
    start(Settings { filter, output, role: "up", collector: None })
}

/// Starts logs, traces and metrics, inside the async runtime and before anything is measured.
///
/// # Errors
/// [`Error`] when a setting is wrong or telemetry already runs.
pub fn start(settings: Settings<'_>) -> Result<Telemetry, Error> {
    let Settings { filter, output, role, collector } = settings;
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
    let (lines, spans): (Mutex<Box<dyn io::Write + Send>>, Box<dyn io::Write + Send>) = match output
    {
        Output::Stderr => (Mutex::new(Box::new(io::stderr())), Box::new(io::stderr())),
        Output::File(file) => (Mutex::new(Box::new(file.try_clone()?)), Box::new(file)),
    };
    let (traces, pushed) = (otlp::is_on("TRACES", collector), otlp::is_on("METRICS", collector));
    if let Some(protocol) = otlp::other_protocol().filter(|_| traces || pushed) {
        return Err(Error::Protocol(protocol));
    }
    let resource = otlp::resource(role);
    let provider = SdkTracerProvider::builder().with_resource(resource.clone());
    let provider = if traces {
        provider.with_span_processor(otlp::batches(otlp::spans(collector)?)).build()
    } else {
        let exporter = span_lines::SpanLines::new(spans);
        provider.with_span_processor(otlp::batches(exporter)).build()
    };
    let reader = if pushed { Some(otlp::metrics(collector)?) } else { None };
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
    let installed = metrics::install(resource, |builder| match reader {
        Some(reader) => builder.with_reader(reader),
        None => builder,
    });
    if !installed {
        tracing::warn!("something was measured before telemetry began: metrics are only scraped");
    }
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

/// The story that a span and all below it belong to.
struct Story(Arc<str>);

fn context_of(traceparent: &str) -> Context {
    if traceparent.is_empty() {
        return Context::new();
    }
    let header = OneHeader(Some(traceparent.to_owned()));
    // Not what is around here: a call from elsewhere has nothing to do with it.
    TraceContextPropagator::new().extract_with_context(&Context::new(), &header)
}

fn set_context(span: &Span, context: Context) {
    if let Err(error) = span.set_parent(context) {
        tracing::debug!("a span keeps the parent that it has: {error:?}");
    }
}

/// Makes `span` a child of the span that `traceparent` names; nothing when it names none.
pub fn set_parent(span: &Span, traceparent: &str) {
    let context = context_of(traceparent);
    if context.span().span_context().is_valid() {
        set_context(span, context);
    }
}

/// As [`set_parent`], and what is done below `span` belongs to `story`.
pub fn set_parent_in_story(span: &Span, traceparent: &str, story: &str) {
    if story.is_empty() {
        return set_parent(span, traceparent);
    }
    set_context(span, context_of(traceparent).with_value(Story(Arc::from(story))));
}

/// The story of the current span, where it is known; else empty.
#[must_use]
pub fn current_story() -> String {
    let context = Span::current().context();
    context.get::<Story>().map(|story| story.0.as_ref().to_owned()).unwrap_or_default()
}

/// Links `span` to the one that `traceparent` names, when that is of another trace.
pub fn link(span: &Span, traceparent: &str) {
    let context = context_of(traceparent);
    let there = context.span().span_context().clone();
    let here = span.context().span().span_context().trace_id();
    if there.is_valid() && there.trace_id() != here {
        span.add_link(there);
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

/// The span in which a process handles an event: a child of the event's own span, and linked to
/// it. One commit is one message, so that a parent tells the truth; the link is what the
/// conventions ask for.
#[must_use]
pub fn process_span(process: &'static str, heard: &Heard) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {process}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.type = Empty,
        messaging.system = MESSAGING_SYSTEM,
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = heard.service(),
        messaging.consumer.group.name = process,
        messaging.message.id = %heard.event_id,
        nexus.story = heard.cause.story,
        nexus.event = heard.event_type(),
    );
    let context = context_of(&heard.cause.traceparent);
    let cause = context.span().span_context().clone();
    if cause.is_valid() {
        span.add_link(cause);
    }
    set_context(&span, context.with_value(Story(Arc::from(heard.cause.story.as_str()))));
    span
}
