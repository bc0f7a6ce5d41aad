//! The log itself: one connection, one stream a service.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, ContextBuilder};
use async_trait::async_trait;
use nexus_es::log::{Append, AppendError, Appended, Durability, EventLog, LogError, Source, Tail};
use nexus_es::{AggregateId, Position, Stored, Version};
use tracing::info;

use crate::append;
use crate::durable;
use crate::error::Error;
use crate::options::Options;
use crate::read;
use crate::streams;
use crate::subject;
use crate::tail::LogTail;
use crate::wire::Wire;

/// The event log on NATS JetStream.
#[derive(Debug)]
pub struct JetStreamLog {
    pub(crate) wire: Wire,
    /// More than one copy: a direct read may come from one that lags.
    pub(crate) replicated: bool,
    streams: HashMap<String, Stream<()>>,
    /// The servers that keep the streams.
    keepers: BTreeSet<String>,
    durability: Durability,
    written: AtomicU64,
}

impl JetStreamLog {
    /// Connects, makes the streams that are missing, and checks that the server and each stream
    /// keep the promises of the log.
    ///
    /// # Errors
    /// [`Error`] in one sentence when a promise does not hold or the server does not answer.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let wire = Wire::open(&options).await?;
        let mut streams = HashMap::new();
        let mut keepers = BTreeSet::new();
        for service in &options.services {
            let wanted = streams::wanted(service, &options);
            keepers.append(&mut streams::ensure(&wire, &wanted, options.create).await?);
            streams.insert(service.clone(), handle(&wire, &subject::stream_of(service)).await?);
        }
        let durability = durable::durability(&options, &keepers).await?;
        info!("the event log is on JetStream, durability: {}", durability.name);
        let replicated = options.replicas > 1;
        Ok(Self { wire, replicated, streams, keepers, durability, written: AtomicU64::new(0) })
    }

    /// Asks again what an acknowledgement is worth, if others than the log's servers keep the
    /// buckets.
    pub(crate) async fn also_kept_by(
        &mut self,
        options: &Options,
        others: &BTreeSet<String>,
    ) -> Result<(), Error> {
        if !others.is_subset(&self.keepers) {
            self.keepers.extend(others.iter().cloned());
            self.durability = durable::durability(options, &self.keepers).await?;
        }
        Ok(())
    }

    /// How many commits this process has had acknowledged since its start. On one replica each of
    /// them is a sync of its own; three replicas sync many at once.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends the connection. From then on the log answers that it cannot be reached.
    pub async fn close(&self) {
        self.wire.close().await;
    }

    /// The stream of `service`.
    pub(crate) fn stream(&self, service: &str) -> Result<&Stream<()>, Source> {
        self.streams.get(service).ok_or_else(|| format!("no log of {service} is configured").into())
    }

    /// The name of the stream of `service`, if that is one of those in use.
    pub(crate) fn stream_name(&self, service: &str) -> Result<String, Source> {
        self.stream(service).map(|_| subject::stream_of(service))
    }
}

/// A stream to make consumers on, not asked whether it is there.
async fn handle(wire: &Wire, name: &str) -> Result<Stream<()>, Error> {
    let context: Context =
        ContextBuilder::new().timeout(wire.request_timeout).build(wire.client.clone());
    context.get_stream_no_info(name).await.map_err(|source| Error::Request {
        what: format!("use the stream {name}"),
        source: source.into(),
    })
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let appended = append::append(self, &append).await?;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(appended)
    }

    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        read::load(self, aggregate, after).await
    }

    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        self.wire.connected().map_err(|why| LogError::Unavailable(why.into()))?;
        let stream = self.stream(service).map_err(LogError::Unavailable)?;
        Ok(Box::new(LogTail::start(&self.wire, stream, service, after).await?))
    }

    async fn head(&self, service: &str) -> Result<Position, LogError> {
        // Known services only, as everywhere.
        let stream = self.stream_name(service).map_err(LogError::Unavailable)?;
        let info = streams::read(&self.wire, &stream)
            .await
            .map_err(|source| LogError::Unavailable(source.into()))?;
        match info.as_ref().and_then(streams::last_sequence) {
            Some(sequence) => Ok(Position(sequence)),
            None => Err(LogError::Unavailable(format!("there is no stream {stream}").into())),
        }
    }

    fn durability(&self) -> Durability {
        self.durability.clone()
    }
}
