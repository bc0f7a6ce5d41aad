//! The log itself: one connection, one stream a service.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, ContextBuilder};
use async_trait::async_trait;
use nexus_es::log::{Append, AppendError, Appended, Durability, EventLog, LogError, Source, Tail};
use nexus_es::{AggregateId, Position, Stored, Version};
use tracing::info;

use crate::append;
use crate::connection;
use crate::durable;
use crate::error::Error;
use crate::options::Options;
use crate::read::{self, Inboxes};
use crate::streams;
use crate::subject;
use crate::tail::LogTail;

/// The event log on NATS JetStream.
#[derive(Debug)]
pub struct JetStreamLog {
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) inboxes: Inboxes,
    pub(crate) request_timeout: Duration,
    /// More than one copy: a direct read may come from one that lags.
    pub(crate) replicated: bool,
    streams: HashMap<String, Stream<()>>,
    durability: Durability,
}

impl JetStreamLog {
    /// Connects, makes the streams that are missing, and checks that the server and each stream
    /// keep the promises of the log.
    ///
    /// # Errors
    /// [`Error`] in one sentence when a promise does not hold or the server does not answer.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let client = connection::open(&options, options.login.as_ref()).await?;
        connection::check_server(&client)?;
        let context = ContextBuilder::new().timeout(options.request_timeout).build(client.clone());
        let mut streams = HashMap::new();
        let mut keepers = BTreeSet::new();
        for service in &options.services {
            keepers.append(&mut streams::ensure(&context, service, &options).await?);
            let name = subject::stream_of(service);
            let stream = context.get_stream_no_info(&name).await.map_err(|source| {
                Error::Request { what: format!("use the stream {name}"), source: source.into() }
            })?;
            streams.insert(service.clone(), stream);
        }
        let durability = durable::durability(&options, &keepers).await?;
        info!("the event log is on JetStream, durability: {}", durability.name);
        Ok(Self {
            inboxes: Inboxes::new(client.clone()),
            client,
            context,
            request_timeout: options.request_timeout,
            replicated: options.replicas > 1,
            streams,
            durability,
        })
    }

    /// The stream of `service`.
    pub(crate) fn stream(&self, service: &str) -> Result<&Stream<()>, Source> {
        self.streams.get(service).ok_or_else(|| format!("no log of {service} is configured").into())
    }

    /// Refuses what would only wait for its time limit.
    ///
    /// For a write it is more: the client would keep it and send it after it reconnected.
    pub(crate) fn connected(&self) -> Result<(), Source> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err("not connected to NATS".into()),
        }
    }
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append::append(self, &append).await
    }

    async fn load(&self, aggregate: &AggregateId, after: Version) -> Result<Vec<Stored>, LogError> {
        read::load(self, aggregate, after).await
    }

    async fn tail(&self, service: &str, after: Position) -> Result<Box<dyn Tail>, LogError> {
        self.connected().map_err(LogError::Unavailable)?;
        let stream = self.stream(service).map_err(LogError::Unavailable)?;
        Ok(Box::new(LogTail::start(&self.client, stream, after).await?))
    }

    async fn head(&self, service: &str) -> Result<Position, LogError> {
        self.connected().map_err(LogError::Unavailable)?;
        // Known services only, as everywhere.
        self.stream(service).map_err(LogError::Unavailable)?;
        let stream = subject::stream_of(service);
        let info = streams::read(&self.context, &stream)
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
