//! What a NATS server does by itself: the same bytes, published and acknowledged, and read by an
//! ordered push consumer, with nothing of ours in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use futures::StreamExt;
use hdrhistogram::Histogram;
use nexus_es::new_id;
use tokio::task::JoinSet;

use super::probe::Probe;
use super::report::ms;

/// The stream of the probe, with the server's own settings; it is there while it is measured.
pub(crate) const STREAM: &str = "NEXUS_BENCH_RAW";
const LENGTH: Duration = Duration::from_secs(3);
/// Publishes in flight while a stream is filled.
const FILLING: usize = 256;

/// What is published beside the bytes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The bytes alone, into a stream with the server's own settings.
    Plain,
    /// With the guard of the log.
    Guarded,
    /// With the guard and the message id: the same bytes on the wire as a commit.
    Named,
    /// The same into the log's own stream, with its settings.
    AsTheLog,
}

impl How {
    fn prefix(self) -> String {
        match self {
            Self::Plain | Self::Guarded | Self::Named => "nexus_bench.raw".to_owned(),
            Self::AsTheLog => format!("evt.{}.{}", super::ground::SERVICE, super::log::CATEGORY),
        }
    }

    fn headers(self, expected: u64) -> Option<HeaderMap> {
        if self == Self::Plain {
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        if self != Self::Guarded {
            headers.insert(NATS_MESSAGE_ID, new_id().to_string());
        }
        Some(headers)
    }
}

/// Publishes for three seconds, each of `in_flight` waiting for its acknowledgement: as in the
/// log, two messages a subject, of the size of a commit.
pub(crate) async fn publish(
    jetstream: &Context,
    in_flight: usize,
    how: How,
) -> anyhow::Result<Probe> {
    if how == How::AsTheLog {
        return publish_for(LENGTH, jetstream, in_flight, how).await;
    }
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec!["nexus_bench.raw.*".to_owned()],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: 4 * 1024 * 1024 * 1024,
        ..Config::default()
    };
    jetstream.create_stream(config).await.context("cannot make the stream of the raw probe")?;
    let probe = publish_for(LENGTH, jetstream, in_flight, how).await;
    jetstream.delete_stream(STREAM).await?;
    probe
}

async fn publish_for(
    length: Duration,
    jetstream: &Context,
    in_flight: usize,
    how: How,
) -> anyhow::Result<Probe> {
    let bytes = super::log::commit_bytes()?;
    let over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut publishers = JoinSet::new();
    for _ in 0..in_flight {
        let (jetstream, bytes, over) = (jetstream.clone(), bytes.clone(), Arc::clone(&over));
        publishers.spawn(async move { publisher(&jetstream, &bytes, how, &over).await });
    }
    tokio::time::sleep(length).await;
    over.store(true, Ordering::Relaxed);
    let mut latencies = Histogram::<u64>::new(3)?;
    while let Some(published) = publishers.join_next().await {
        latencies.add(published??)?;
    }
    let per_second = super::count(latencies.len()) / began.elapsed().as_secs_f64();
    Ok(Probe { per_second, p50_ms: ms(latencies.value_at_quantile(0.5)) })
}

async fn publisher(
    jetstream: &Context,
    bytes: &Bytes,
    how: How,
    over: &AtomicBool,
) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::<u64>::new(3)?;
    while !over.load(Ordering::Relaxed) {
        let subject = format!("{}.{}", how.prefix(), new_id());
        let mut expected = 0_u64;
        for _ in 0..2 {
            let began = Instant::now();
            let (subject, bytes) = (subject.clone(), bytes.clone());
            let ack = match how.headers(expected) {
                Some(headers) => jetstream.publish_with_headers(subject, headers, bytes).await?,
                None => jetstream.publish(subject, bytes).await?,
            };
            expected = ack.await?.sequence;
            latencies.record(u64::try_from(began.elapsed().as_micros())?)?;
        }
    }
    Ok(latencies)
}

/// Fills the log's own stream with `commits` commits, two an aggregate.
pub(crate) async fn fill(jetstream: &Context, service: &str, commits: u64) -> anyhow::Result<()> {
    let bytes = super::log::commit_bytes()?;
    let published = futures::stream::iter(0..commits.div_ceil(2)).map(async |_| {
        let subject = format!("evt.{service}.{}.{}", super::log::CATEGORY, new_id());
        for _ in 0..2 {
            jetstream.publish(subject.clone(), bytes.clone()).await?.await?;
        }
        anyhow::Ok(())
    });
    let mut published = published.buffer_unordered(FILLING);
    while let Some(done) = published.next().await {
        done?;
    }
    Ok(())
}

/// Reads the first `messages` of `stream` with a consumer of its own; messages a second.
pub(crate) async fn read(jetstream: &Context, stream: &str, messages: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let config = OrderedConfig {
        deliver_subject: jetstream.client().new_inbox(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 1 },
        ..OrderedConfig::default()
    };
    let stream = jetstream.get_stream_no_info(stream).await?;
    let mut reading = stream.create_consumer(config).await?.messages().await?;
    let mut read = 0;
    while read < messages {
        reading.next().await.context("the consumer ended")??;
        read += 1;
    }
    Ok(super::count(read) / began.elapsed().as_secs_f64())
}
