//! What event sourcing tells, as metrics and links.

use std::time::Duration;

use nexus_es::Position;
use nexus_es::measure::{AppendOutcome, Attempt, Meter};
use opentelemetry::KeyValue;
use tracing::Span;

use super::{interned, lag, meters};
use crate::telemetry;

pub(super) struct Told;

fn count(commits: usize) -> u64 {
    u64::try_from(commits).unwrap_or(u64::MAX)
}

impl Meter for Told {
    fn appended(&self, service: &str, outcome: AppendOutcome, took: Duration) {
        let labels = [
            KeyValue::new("nexus.service", interned(service)),
            KeyValue::new("nexus.outcome", outcome.name()),
        ];
        meters().appended.record(took.as_secs_f64(), &labels);
        if outcome == AppendOutcome::Conflict {
            meters().conflicts.add(1, labels.get(..1).unwrap_or_default());
        }
    }

    fn synced(&self, commits: usize, took: Duration) {
        meters().commits_per_sync.record(count(commits), &[]);
        meters().synced.record(took.as_secs_f64(), &[]);
    }

    fn applied(&self, service: &'static str, commits: usize, took: Duration) {
        let labels = [KeyValue::new("nexus.service", service)];
        meters().view_applied.record(took.as_secs_f64(), &labels);
        meters().view_commits.add(count(commits), &labels);
    }

    fn attempted(&self, process: &'static str, outcome: Attempt, took: Duration) {
        let labels = [
            KeyValue::new("messaging.system", telemetry::MESSAGING_SYSTEM),
            KeyValue::new("messaging.consumer.group.name", process),
            KeyValue::new("nexus.outcome", outcome.name()),
        ];
        meters().processed.record(took.as_secs_f64(), &labels);
    }

    fn reached(&self, process: &'static str, source: &str, position: Position) {
        lag::reached(process, source, position);
    }

    fn ended(&self, process: &'static str) {
        lag::ended(process);
    }

    fn continues(&self, span: &Span, traceparent: &str) {
        telemetry::link(span, traceparent);
    }
}
