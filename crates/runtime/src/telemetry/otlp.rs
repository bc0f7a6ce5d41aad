//! Spans and metrics to a collector, by OTLP over gRPC. Whatever the standard variables
//! `OTEL_…` say holds; the endpoint alone switches it on.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use nexus_es::new_id;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanExporter as ExportsSpans,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::Error;
use super::losses::{Bounded, Counted, CountedMetrics};

/// Spans that may wait for an exporter.
const QUEUE: usize = 4096;

fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    Some(value).filter(|value| !value.trim().is_empty())
}

/// Whether a collector was named for `signal` (`TRACES`, `METRICS`), by a setting or by the
/// environment.
pub(super) fn is_on(signal: &str, setting: Option<&str>) -> bool {
    let says = |name: &str, word: &str| {
        variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if says("OTEL_SDK_DISABLED", "true") || says(&format!("OTEL_{signal}_EXPORTER"), "none") {
        return false;
    }
    setting.is_some()
        || variable("OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
        || variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")).is_some()
}

/// A protocol that was asked for and is not spoken.
pub(super) fn other_protocol() -> Option<String> {
    variable("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "grpc")
}

/// Who tells: `nexus-<role>`, its version, this very process. `OTEL_SERVICE_NAME` and
/// `OTEL_RESOURCE_ATTRIBUTES` add to it.
pub(super) fn resource(role: &str) -> Resource {
    let own = Resource::builder_empty()
        .with_service_name(variable("OTEL_SERVICE_NAME").unwrap_or_else(|| format!("nexus-{role}")))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", new_id().to_string()));
    let told = Resource::builder().build();
    let told = told.iter().filter(|(key, _)| key.as_str() != "service.name");
    own.with_attributes(told.map(|(key, value)| KeyValue::new(key.clone(), value.clone()))).build()
}

/// Exports spans in batches from a thread of its own; what does not fit is dropped and counted.
pub(super) fn batches(exporter: impl ExportsSpans + 'static) -> Bounded<BatchSpanProcessor> {
    let queue = variable("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|text| text.parse().ok());
    let queue = queue.unwrap_or(QUEUE);
    let waiting = Arc::new(AtomicUsize::new(0));
    let config = BatchConfigBuilder::default().with_max_queue_size(queue).build();
    let exporter = Counted::new(exporter, Arc::clone(&waiting));
    let inner = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Bounded::new(inner, waiting, queue)
}

/// How to speak to a collector with TLS: the system's certificates and those that the standard
/// variables name; nothing for one without.
fn tls(signal: &str, setting: Option<&str>) -> Result<Option<ClientTlsConfig>, Error> {
    let endpoint = setting
        .map(str::to_owned)
        .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    if !endpoint.is_some_and(|endpoint| endpoint.starts_with("https:")) {
        return Ok(None);
    }
    let file = |name: &str| match variable(&format!("OTEL_EXPORTER_OTLP_{name}")) {
        Some(path) => std::fs::read(&path).map(Some).map_err(|e| Error::Certificate(path, e)),
        None => Ok(None),
    };
    let mut config = ClientTlsConfig::new().with_enabled_roots();
    if let Some(authority) = file("CERTIFICATE")? {
        config = config.ca_certificate(Certificate::from_pem(authority));
    }
    if let (Some(own), Some(key)) = (file("CLIENT_CERTIFICATE")?, file("CLIENT_KEY")?) {
        config = config.identity(Identity::from_pem(own, key));
    }
    Ok(Some(config))
}

/// Pushes spans to the collector. Must be called inside the async runtime.
pub(super) fn spans(setting: Option<&str>) -> Result<SpanExporter, Error> {
    let mut builder = SpanExporter::builder().with_tonic();
    if let Some(tls) = tls("TRACES", setting)? {
        builder = builder.with_tls_config(tls);
    }
    if let Some(endpoint) = setting {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(builder.build()?)
}

/// Pushes metrics to the collector, every minute unless `OTEL_METRIC_EXPORT_INTERVAL` says
/// otherwise. Must be called inside the async runtime.
pub(super) fn metrics(
    setting: Option<&str>,
) -> Result<PeriodicReader<CountedMetrics<MetricExporter>>, Error> {
    let mut builder = MetricExporter::builder().with_tonic();
    if let Some(tls) = tls("METRICS", setting)? {
        builder = builder.with_tls_config(tls);
    }
    if let Some(endpoint) = setting {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(PeriodicReader::builder(CountedMetrics(builder.build()?)).build())
}
