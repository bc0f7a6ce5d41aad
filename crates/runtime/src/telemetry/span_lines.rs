//! Log lines and finished spans as JSON, one a line.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::Link;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes each finished span as one line.
pub(super) struct SpanLines {
    out: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for SpanLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanLines")
    }
}

impl SpanLines {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Mutex::new(out) }
    }

    fn write(&self, batch: &[SpanData]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for span in batch {
            writeln!(out, "{}", line(span))?;
        }
        out.flush()
    }
}

impl SpanExporter for SpanLines {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.write(&batch).map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }
}

fn line(span: &SpanData) -> Value {
    let mut attributes = Map::new();
    for attribute in &span.attributes {
        attributes.insert(attribute.key.to_string(), json!(attribute.value.to_string()));
    }
    let elapsed = span.end_time.duration_since(span.start_time).unwrap_or_default();
    json!({
        "kind": "span",
        "name": span.name,
        "time": timestamp(span.start_time),
        "duration_us": u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "trace_id": span.span_context.trace_id().to_string(),
        "span_id": span.span_context.span_id().to_string(),
        "parent_span_id": span.parent_span_id.to_string(),
        "span_kind": format!("{:?}", span.span_kind).to_lowercase(),
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
        "attributes": attributes,
    })
}

fn link(link: &Link) -> Value {
    let there = &link.span_context;
    json!({"trace_id": there.trace_id().to_string(), "span_id": there.span_id().to_string()})
}

fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    crate::time::rfc3339(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Formats a log event as one JSON line with the trace it belongs to.
pub(super) struct LogLine;

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
}

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let mut line = json!({
            "kind": "log",
            "time": crate::time::rfc3339(nexus_es::clock::now_ms()),
            "level": event.metadata().level().as_str(),
            "target": event.metadata().target(),
            "message": message,
        });
        let trace_id = super::current_trace_id();
        if let Some(line) = line.as_object_mut() {
            if !trace_id.is_empty() {
                line.insert("trace_id".to_owned(), json!(trace_id));
            }
            if !fields.0.is_empty() {
                line.insert("fields".to_owned(), Value::Object(fields.0));
            }
        }
        writeln!(writer, "{line}")
    }
}
