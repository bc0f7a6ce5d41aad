//! Figures for operators: one instrumentation, told to the collector and scraped as text.
//! *Invariant:* labels come from small fixed sets; nothing a caller writes becomes a new one.

mod lag;
mod machine;
mod names;
mod told;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tonic::Code;

use crate::telemetry::losses;

pub use lag::watch;
pub use names::NAMES;
pub(crate) use names::{DROPPED, OTHER, interned};

/// What `/metrics` answers as its content type.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Seconds, as the semantic conventions advise for requests.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Seconds of what a disk or a log does.
const DISK_SECONDS: [f64; 12] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];
const COMMITS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// All instruments of this process.
pub(crate) struct Meters {
    provider: SdkMeterProvider,
    registry: Registry,
    http_served: Histogram<f64>,
    http_called: Histogram<f64>,
    rpc_served: Histogram<f64>,
    processed: Histogram<f64>,
    appended: Histogram<f64>,
    conflicts: Counter<u64>,
    commits_per_sync: Histogram<u64>,
    synced: Histogram<f64>,
    view_applied: Histogram<f64>,
    view_commits: Counter<u64>,
    courier_calls: Counter<u64>,
    channel_sends: Counter<u64>,
    webhooks: Counter<u64>,
}

static METERS: OnceLock<Meters> = OnceLock::new();

/// This process's instruments; those of [`install`], or at first use some that are scraped only.
pub(crate) fn meters() -> &'static Meters {
    METERS.get_or_init(|| {
        nexus_es::measure::install(Box::new(told::Told));
        Meters::build(Resource::builder().build(), |builder| builder)
    })
}

/// Makes the instruments of this process, with readers beside the one that is scraped. False when
/// something was measured before: then the other readers get nothing.
pub(crate) fn install(
    resource: Resource,
    readers: impl FnOnce(
        opentelemetry_sdk::metrics::MeterProviderBuilder,
    ) -> opentelemetry_sdk::metrics::MeterProviderBuilder,
) -> bool {
    let mut first = false;
    METERS.get_or_init(|| {
        first = true;
        nexus_es::measure::install(Box::new(told::Told));
        Meters::build(resource, readers)
    });
    first
}

/// Pushes what is left and ends. Nothing is pushed after it.
pub(crate) fn shut_down() {
    if let Some(meters) = METERS.get() {
        // At the very end nobody is left to tell.
        drop(meters.provider.shutdown());
    }
}

/// All figures as text, as Prometheus reads it.
#[must_use]
pub fn scrape() -> String {
    let families = meters().registry.gather();
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
        tracing::warn!("the figures cannot be written down: {error}");
        String::new()
    })
}

fn seconds(meter: &Meter, name: &'static str, about: &'static str) -> Histogram<f64> {
    timed(meter, name, about, &SECONDS)
}

fn timed(meter: &Meter, name: &'static str, about: &'static str, bounds: &[f64]) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(about);
    histogram.with_boundaries(bounds.to_vec()).build()
}

fn counter(meter: &Meter, name: &'static str, about: &'static str) -> Counter<u64> {
    meter.u64_counter(name).with_description(about).build()
}

impl Meters {
    fn build(
        resource: Resource,
        readers: impl FnOnce(
            opentelemetry_sdk::metrics::MeterProviderBuilder,
        ) -> opentelemetry_sdk::metrics::MeterProviderBuilder,
    ) -> Self {
        let registry = Registry::new();
        let mut builder = SdkMeterProvider::builder().with_resource(resource);
        let text = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        match text.scope_info_enabled(false).build() {
            Ok(text) => builder = builder.with_reader(text),
            Err(error) => tracing::error!("/metrics stays empty: {error}"),
        }
        let provider = readers(builder).build();
        let meter = provider.meter("nexus");
        losses::observe(&meter);
        machine::observe(&meter);
        lag::observe(&meter);
        let commits = meter.u64_histogram(names::COMMITS_PER_SYNC);
        Self {
            registry,
            http_served: seconds(&meter, names::HTTP_SERVED, "HTTP requests answered"),
            http_called: seconds(&meter, names::HTTP_CALLED, "HTTP calls to the outside"),
            rpc_served: seconds(&meter, names::RPC_SERVED, "gRPC calls answered"),
            processed: seconds(&meter, names::PROCESSED, "attempts of processes at an event"),
            appended: timed(&meter, names::APPENDED, "commits handed to a log", &DISK_SECONDS),
            conflicts: counter(&meter, names::CONFLICTS, "appends that others overtook"),
            commits_per_sync: commits
                .with_description("commits that one sync brought to the disk")
                .with_boundaries(COMMITS.to_vec())
                .build(),
            synced: timed(&meter, names::SYNCED, "syncs of the log", &DISK_SECONDS),
            view_applied: timed(&meter, names::VIEW_APPLIED, "batches of views", &DISK_SECONDS),
            view_commits: counter(&meter, names::VIEW_COMMITS, "commits that views took in"),
            courier_calls: counter(&meter, names::COURIER_CALLS, "calls to couriers"),
            channel_sends: counter(&meter, names::CHANNEL_SENDS, "messages handed to channels"),
            webhooks: counter(&meter, names::WEBHOOKS, "webhooks that came in"),
            provider,
        }
    }
}

/// A method as a label: one of those that exist, else `_OTHER`.
#[must_use]
pub fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}

/// The name of a gRPC status code.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn status_value(status: StatusCode) -> i64 {
    i64::from(status.as_u16())
}

/// An HTTP request was answered. `route` is a template, never a path.
pub fn http_served(method: &http::Method, route: &str, status: StatusCode, took: Duration) {
    let labels = [
        KeyValue::new("http.request.method", method_name(method)),
        KeyValue::new("http.route", interned(route)),
        KeyValue::new("http.response.status_code", status_value(status)),
    ];
    meters().http_served.record(took.as_secs_f64(), &labels);
}

/// A gRPC call was answered. `method` is one that the server knows, or `_OTHER`.
pub fn rpc_served(method: Arc<str>, code: Code, took: Duration) {
    let labels = [
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", method),
        KeyValue::new("rpc.response.status_code", code_name(code)),
    ];
    meters().rpc_served.record(took.as_secs_f64(), &labels);
}

/// A call to the outside ended: with a status, or with none and the reason why.
pub(crate) fn http_called(
    method: &http::Method,
    host: &str,
    ended: Result<StatusCode, &'static str>,
    took: Duration,
) {
    let outcome = match ended {
        Ok(status) => KeyValue::new("http.response.status_code", status_value(status)),
        Err(why) => KeyValue::new("error.type", why),
    };
    let labels = [
        KeyValue::new("http.request.method", method_name(method)),
        KeyValue::new("server.address", interned(host)),
        outcome,
    ];
    meters().http_called.record(took.as_secs_f64(), &labels);
}

/// A courier was asked for something; `outcome` says in one word what came of it.
pub fn courier_called(courier: &'static str, operation: &'static str, outcome: &'static str) {
    let labels = [
        KeyValue::new("nexus.courier", courier),
        KeyValue::new("nexus.operation", operation),
        KeyValue::new("nexus.outcome", outcome),
    ];
    meters().courier_calls.add(1, &labels);
}

/// A message was handed to a channel; `outcome` says in one word what came of it.
pub fn channel_sent(channel: &'static str, outcome: &'static str) {
    let labels = [KeyValue::new("nexus.channel", channel), KeyValue::new("nexus.outcome", outcome)];
    meters().channel_sends.add(1, &labels);
}

/// A webhook was taken or refused; `outcome` says in one word which.
pub fn webhook(kind: &'static str, outcome: &'static str) {
    let labels = [KeyValue::new("nexus.kind", kind), KeyValue::new("nexus.outcome", outcome)];
    meters().webhooks.add(1, &labels);
}

#[cfg(test)]
mod tests;
