//! Following one service's log: an ordered push consumer, which heals by itself.
//! *Invariant:* every message after the start is answered once, in order, whatever the connection
//! does; one that names no aggregate is answered too, as a commit that nobody can decode, so that
//! its readers set it aside by its position and go on.

use std::sync::atomic::Ordering;
use std::task::{self, Poll};
use std::time::Duration;

use async_nats::Client;
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
use tokio::time::sleep;
use tracing::{error, warn};

use crate::subject;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A reader of one stream.
pub(crate) struct LogTail {
    client: Client,
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
    Starting(BoxFuture<'static, Ordered>),
}

impl LogTail {
    /// Starts after `after`.
    pub(crate) async fn start(
        client: &Client,
        stream: &Stream<()>,
        service: &str,
        after: Position,
    ) -> Result<Self, LogError> {
        let connects = connects(client);
        let messages = follow(client, stream, after.0).await.map_err(LogError::Unavailable)?;
        Ok(Self {
            client: client.clone(),
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

    fn poll_message(
        &mut self,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Message, OrderedError>>> {
        // The consumer lives in the server's memory. It notices a lost connection only while it
        // is polled, else after two missed heartbeats: ten seconds that nobody has to wait.
        let connects = connects(&self.client);
        if self.connects != connects {
            self.connects = connects;
            let (client, stream, last) = (self.client.clone(), self.stream.clone(), self.last);
            let start = async move { follow_again(&client, &stream, last).await };
            self.source = Source::Starting(start.boxed());
        }
        loop {
            match &mut self.source {
                Source::Running(messages) => return messages.poll_next_unpin(cx),
                Source::Starting(start) => match start.poll_unpin(cx) {
                    Poll::Ready(messages) => self.source = Source::Running(Box::new(messages)),
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

/// The same after an outage: the server may still be busy with itself.
async fn follow_again(client: &Client, stream: &Stream<()>, last: u64) -> Ordered {
    let mut pause = FIRST_PAUSE;
    loop {
        match follow(client, stream, last).await {
            Ok(messages) => return messages,
            Err(error) => warn!("a tail cannot go on after an outage yet: {error}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What was taken is answered first; the consumer tells its end again.
fn ended(batch: Vec<Stored>, why: log::Source) -> Result<Vec<Stored>, LogError> {
    if batch.is_empty() { Err(LogError::Unavailable(why)) } else { Ok(batch) }
}

#[async_trait]
impl Tail for LogTail {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        std::future::poll_fn(|cx| self.poll_batch(cx, max)).await
    }
}
