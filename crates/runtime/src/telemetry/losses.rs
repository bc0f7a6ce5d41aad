//! What telemetry loses when nobody takes it: counted, and said at most once a minute.
//! *Invariant:* work never waits for telemetry; what does not fit is dropped.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

use crate::metrics::DROPPED;

const SAY_AGAIN: Duration = Duration::from_secs(60);

static LOST: Losses = Losses::new();

/// Lost spans and pushes of metrics, and when that was said last.
pub(super) struct Losses {
    queue_full: AtomicU64,
    spans_refused: AtomicU64,
    metrics_refused: AtomicU64,
    said: Mutex<Said>,
}

struct Said {
    when: Option<Instant>,
    lost: u64,
}

impl Losses {
    const fn new() -> Self {
        Self {
            queue_full: AtomicU64::new(0),
            spans_refused: AtomicU64::new(0),
            metrics_refused: AtomicU64::new(0),
            said: Mutex::new(Said { when: None, lost: 0 }),
        }
    }

    fn total(&self) -> u64 {
        let counters = [&self.queue_full, &self.spans_refused, &self.metrics_refused];
        counters.into_iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// What has to be said at `now`: so much was lost in all.
    fn news(&self, now: Instant) -> Option<u64> {
        let lost = self.total();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = lost > said.lost;
        let is_time = said.when.is_none_or(|when| now.duration_since(when) >= SAY_AGAIN);
        if !is_new || !is_time {
            return None;
        }
        *said = Said { when: Some(now), lost };
        Some(lost)
    }

    /// Only exporters' own threads may call this: a span that ends must not log.
    fn say(&self, why: Option<&dyn fmt::Display>) {
        if let Some(lost) = self.news(Instant::now()) {
            match why {
                Some(why) => tracing::warn!(lost, "telemetry is not taken, {lost} lost: {why}"),
                None => tracing::warn!(lost, "telemetry comes faster than it is taken"),
            }
        }
    }
}

/// Shows the losses as a metric.
pub(crate) fn observe(meter: &Meter) {
    let labels = |signal: &'static str, reason: &'static str| {
        [KeyValue::new("nexus.signal", signal), KeyValue::new("nexus.reason", reason)]
    };
    let rows = [
        (labels("traces", "queue_full"), &LOST.queue_full),
        (labels("traces", "not_taken"), &LOST.spans_refused),
        (labels("metrics", "not_taken"), &LOST.metrics_refused),
    ];
    meter
        .u64_observable_counter(DROPPED)
        .with_description("spans, and pushes of metrics, that nobody took")
        .with_callback(move |observer| {
            for (labels, counter) in &rows {
                observer.observe(counter.load(Ordering::Relaxed), labels);
            }
        })
        .build();
}

/// A span processor that drops what would wait behind `most` others.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    inner: P,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl<P> Bounded<P> {
    pub(super) fn new(inner: P, waiting: Arc<AtomicUsize>, most: usize) -> Self {
        Self { inner, waiting, most }
    }
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            LOST.queue_full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// An exporter whose losses are counted.
#[derive(Debug)]
pub(super) struct Counted<E> {
    inner: E,
    waiting: Arc<AtomicUsize>,
}

impl<E> Counted<E> {
    pub(super) fn new(inner: E, waiting: Arc<AtomicUsize>) -> Self {
        Self { inner, waiting }
    }
}

/// A field that was recorded again stands twice in a span; the last one counts.
fn with_last_values(mut span: SpanData) -> SpanData {
    let mut nth = span.attributes.len();
    while let Some(before) = nth.checked_sub(1) {
        nth = before;
        let (earlier, later) = span.attributes.split_at(nth);
        let Some((one, after)) = later.split_first() else { continue };
        let is_stale = after.iter().any(|other| other.key == one.key);
        let keep = earlier.len();
        if is_stale {
            span.attributes.remove(keep);
        }
    }
    span
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let number = batch.len();
        let batch = batch.into_iter().map(with_last_values).collect();
        let taken = self.inner.export(batch).await;
        self.waiting.fetch_sub(number, Ordering::Relaxed);
        match &taken {
            Ok(()) => LOST.say(None),
            Err(error) => {
                let number = u64::try_from(number).unwrap_or(u64::MAX);
                LOST.spans_refused.fetch_add(number, Ordering::Relaxed);
                LOST.say(Some(error));
            }
        }
        taken
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// A pusher of metrics whose losses are counted.
pub(super) struct CountedMetrics<E>(pub(super) E);

impl<E: PushMetricExporter> PushMetricExporter for CountedMetrics<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let taken = self.0.export(metrics).await;
        if let Err(error) = &taken {
            LOST.metrics_refused.fetch_add(1, Ordering::Relaxed);
            LOST.say(Some(error));
        }
        taken
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.0.temporality()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::error::OTelSdkError;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Takes nothing: it fails, or never ends.
    #[derive(Debug)]
    struct Away {
        fails: bool,
    }

    impl SpanExporter for Away {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            if self.fails {
                return Err(OTelSdkError::InternalFailure("nobody there".to_owned()));
            }
            std::future::pending().await
        }
    }

    /// Takes everything.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    fn end_spans(exporter: Away, number: u32) -> SdkTracerProvider {
        let processor = super::super::otlp::batches(exporter);
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("test");
        for _ in 0..number {
            drop(tracer.start("a span"));
        }
        provider
    }

    #[test]
    fn spans_that_nobody_takes_are_dropped_at_once_and_counted() {
        let began = Instant::now();
        let provider = end_spans(Away { fails: false }, 20_000);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let lost = LOST.queue_full.load(Ordering::Relaxed);
        assert_eq!(lost, 20_000 - 4096);
        // Its thread never ends; what waits for it is the process, and only for a while.
        std::mem::forget(provider);
    }

    #[test]
    fn spans_that_are_refused_are_counted_and_make_room() {
        let before = LOST.spans_refused.load(Ordering::Relaxed);
        let provider = end_spans(Away { fails: true }, 100);
        drop(provider.force_flush());
        assert_eq!(LOST.spans_refused.load(Ordering::Relaxed) - before, 100);
    }

    #[test]
    fn of_a_field_recorded_twice_the_last_value_is_told() {
        let exporter = Kept::default();
        let waiting = Arc::new(AtomicUsize::new(3));
        let counted = Counted::new(exporter.clone(), Arc::clone(&waiting));
        let provider = SdkTracerProvider::builder().with_simple_exporter(counted).build();
        let mut span = provider.tracer("test").start("a span");
        for story in ["", "order 7"] {
            span.set_attribute(KeyValue::new("nexus.story", story));
            span.set_attribute(KeyValue::new("http.route", "/v1/orders"));
        }
        drop(span);
        let told = exporter.0.lock().unwrap();
        let attributes: Vec<_> = told[0].attributes.iter().map(|a| a.value.as_str()).collect();
        assert_eq!(attributes, ["order 7", "/v1/orders"]);
        assert_eq!(waiting.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn losses_are_said_once_a_minute_and_only_when_there_are_new_ones() {
        let losses = Losses::new();
        let start = Instant::now();
        assert_eq!(losses.news(start), None);
        losses.queue_full.fetch_add(3, Ordering::Relaxed);
        assert_eq!(losses.news(start), Some(3));
        losses.metrics_refused.fetch_add(1, Ordering::Relaxed);
        assert_eq!(losses.news(start + Duration::from_secs(59)), None);
        assert_eq!(losses.news(start + Duration::from_secs(60)), Some(4));
        assert_eq!(losses.news(start + Duration::from_secs(600)), None);
    }
}
