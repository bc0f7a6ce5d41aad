//! Following one service's log: an ordered push consumer, which heals by itself.
//! *Invariant:* every message after the start is answered once, in order, whatever the connection
//! does; one that names no aggregate is answered too, as a commit that nobody can decode, so that
//! its readers set it aside by its position and go on.

use std::sync::atomic::Ordering;
use std::task::{self, Poll};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{
    Ordered, OrderedConfig, OrderedError, OrderedErrorKind,
};
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use nexus_es::log::{self, LogError, Tail};
use nexus_es::{AggregateId, Position, Stored, Version};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, warn};

use crate::subject;
use crate::wire::Wire;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A reader of one stream.
pub(crate) struct LogTail {
    client: Client,
    changes: watch::Receiver<u64>,
    stream: Stream<()>,
    source: Source,
    /// How often the client had connected when the source was made.
    connects: u64,
    service: String,
    /// The position of the last commit that was answered.
    last: u64,
}

/// Where messages come from.
enum Source {
    Running(Box<Ordered>),
    /// Answers too how often the client had connected when it was asked for.
    Starting(BoxFuture<'static, (Ordered, u64)>),
}

impl LogTail {
    /// Starts after `after`.
    pub(crate) async fn start(
        wire: &Wire,
        stream: &Stream<()>,
        service: &str,
        after: Position,
    ) -> Result<Self, LogError> {
        let client = &wire.client;
        let mut changes = wire.changes.any.clone();
        changes.mark_unchanged();
        let connects = connects(client);
        let messages = follow(client, stream, after.0).await.map_err(LogError::Unavailable)?;
        Ok(Self {
            client: client.clone(),
            changes,
            stream: stream.clone(),
            source: Source::Running(Box::new(messages)),
            connects,
            service: service.to_owned(),
            last: after.0,
        })
    }

    /// Takes what is there, at most `max`; waits only if that is nothing. It answers in the same
    /// poll in which it took, so there is no moment in which dropping it could lose a commit.
    fn poll_batch(
        &mut self,
        cx: &mut task::Context<'_>,
        max: usize,
    ) -> Poll<Result<Vec<Stored>, LogError>> {
        let mut batch = Vec::new();
        while batch.len() < max.max(1) {
            match self.poll_message(cx) {
                Poll::Ready(Some(Ok(message))) => batch.extend(self.read(&message)),
                Poll::Ready(Some(Err(error))) => match error.kind() {
                    OrderedErrorKind::MissingHeartbeat
                    | OrderedErrorKind::ConsumerDeleted
                    | OrderedErrorKind::Recreate => warn!("a tail heals itself: {error}"),
                    OrderedErrorKind::PullBasedConsumer | OrderedErrorKind::Other => {
                        return Poll::Ready(ended(batch, Box::new(error)));
                    }
                },
                Poll::Ready(None) => {
                    return Poll::Ready(ended(batch, "the connection to NATS is closed".into()));
                }
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(batch))
    }

    /// The consumer lives in the memory of a server that is gone. Left to itself it would ask for
    /// another one again and again, into a connection that keeps what it cannot send, with pauses
    /// that grow to ten seconds and do not end when the server returns.
    fn begin_again_where_broken(&mut self) {
        let holds = self.connects == connects(&self.client) && is_connected(&self.client);
        if holds || matches!(self.source, Source::Starting(_)) {
            return;
        }
        let (client, stream, last) = (self.client.clone(), self.stream.clone(), self.last);
        let changes = self.changes.clone();
        let start = async move { follow_again(&client, changes, &stream, last).await };
        self.source = Source::Starting(start.boxed());
    }

    fn poll_message(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Message, OrderedError>>> {
        loop {
            match &mut self.source {
                Source::Running(messages) => return messages.poll_next_unpin(cx),
                Source::Starting(start) => match start.poll_unpin(cx) {
                    Poll::Ready((messages, connects)) => {
                        self.connects = connects;
                        self.source = Source::Running(Box::new(messages));
                    }
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// The commit of a message; none if it was answered before.
    fn read(&mut self, message: &Message) -> Option<Stored> {
        let sequence = match message.info() {
            Ok(info) => info.stream_sequence,
            // It came not from the stream: a lost one of the stream would be sent again.
            Err(error) => {
                warn!("a tail of {} met a message without a place: {error}", self.service);
                return None;
            }
        };
        if sequence <= self.last {
            return None;
        }
        self.last = sequence;
        let (aggregate, bytes) = match subject::aggregate_of(&message.subject) {
            Ok(aggregate) => (aggregate, message.message.payload.clone()),
            // Its bytes may be some aggregate's commit, which it is not here: nothing decodes.
            Err(what) => {
                error!("message {sequence} of the log of {} is no commit: {what}", self.service);
                let (service, id) = (self.service.clone(), message.subject.to_string());
                (AggregateId { service, category: String::new(), id }, Bytes::new())
            }
        };
        let (version, position) = (Version(sequence), Position(sequence));
        Some(Stored { aggregate, version, position, bytes })
    }
}

fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// Makes a consumer that sends what follows on `last`.
async fn follow(client: &Client, stream: &Stream<()>, last: u64) -> Result<Ordered, log::Source> {
    // Beginning at the commit before makes the consumer know a place from its first message on:
    // one that knows none is made again from the log's beginning when it heals.
    let config = OrderedConfig {
        deliver_subject: client.new_inbox(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: last.max(1) },
        ..OrderedConfig::default()
    };
    Ok(stream.create_consumer(config).await?.messages().await?)
}

/// The same once there is a connection again: the server may still be busy with itself.
async fn follow_again(
    client: &Client,
    mut changes: watch::Receiver<u64>,
    stream: &Stream<()>,
    last: u64,
) -> (Ordered, u64) {
    let mut pause = FIRST_PAUSE;
    loop {
        let connects = connects(client);
        if is_connected(client) {
            tokio::select! {
                biased;
                made = follow(client, stream, last) => match made {
                    Ok(messages) => return (messages, connects),
                    Err(error) => warn!("a tail cannot go on after an outage yet: {error}"),
                },
                // What was asked went with the connection.
                () = other_than(client, connects, changes.clone()) => continue,
            }
        }
        drop(timeout(pause, changes.changed()).await);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ends when the connection is not the one made at `connects` any more.
async fn other_than(client: &Client, connects: u64, mut changes: watch::Receiver<u64>) {
    while is_connected(client) && self::connects(client) == connects {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What was taken is answered first; the consumer tells its end again.
fn ended(batch: Vec<Stored>, why: log::Source) -> Result<Vec<Stored>, LogError> {
    if batch.is_empty() { Err(LogError::Unavailable(why)) } else { Ok(batch) }
}

#[async_trait]
impl Tail for LogTail {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        let mut changes = self.changes.clone();
        loop {
            self.begin_again_where_broken();
            tokio::select! {
                biased;
                Ok(()) = changes.changed() => {}
                batch = std::future::poll_fn(|cx| self.poll_batch(cx, max)) => return batch,
            }
        }
    }
}
