//! Following one service's log: an ordered push consumer, which heals by itself.
//! *Invariant:* every commit after the start is answered once, in order, whatever the connection
//! does; nothing is passed over, not even a message that cannot be read.

use std::pin::Pin;
use std::task::{self, Poll};

use async_nats::Client;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig, OrderedErrorKind};
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use futures::Stream as _;
use nexus_es::log::{LogError, Tail};
use nexus_es::{AggregateId, Position, Stored, Version};
use tracing::warn;

use crate::subject;

/// A reader of one stream.
pub(crate) struct LogTail {
    messages: Ordered,
    /// The position of the last commit that was answered.
    last: u64,
    /// What could not be read; the tail does not go past it.
    damage: Option<(AggregateId, String)>,
}

impl LogTail {
    /// Starts after `after`.
    pub(crate) async fn start(
        client: &Client,
        stream: &Stream<()>,
        after: Position,
    ) -> Result<Self, LogError> {
        // Beginning at the commit before makes the consumer know a place from its first message
        // on: one that knows none is made again from the log's beginning when it heals.
        let config = OrderedConfig {
            deliver_subject: client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.0.max(1) },
            ..OrderedConfig::default()
        };
        let unavailable = |source| LogError::Unavailable(source);
        let consumer =
            stream.create_consumer(config).await.map_err(|source| unavailable(source.into()))?;
        let messages = consumer.messages().await.map_err(|source| unavailable(source.into()))?;
        Ok(Self { messages, last: after.0, damage: None })
    }

    /// Takes what is there, at most `max`; waits only if that is nothing. It answers in the same
    /// poll in which it took, so there is no moment in which dropping it could lose a commit.
    fn poll_batch(
        &mut self,
        cx: &mut task::Context<'_>,
        max: usize,
    ) -> Poll<Result<Vec<Stored>, LogError>> {
        let mut batch = Vec::new();
        while batch.len() < max.max(1) && self.damage.is_none() {
            match Pin::new(&mut self.messages).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => batch.extend(self.read(message)),
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
        match &self.damage {
            Some((aggregate, what)) if batch.is_empty() => {
                let (aggregate, what) = (aggregate.clone(), what.clone());
                Poll::Ready(Err(LogError::Damaged { aggregate, what }))
            }
            _ => Poll::Ready(Ok(batch)),
        }
    }

    /// The commit of a message, none if it was answered before or cannot be read.
    fn read(&mut self, message: Message) -> Option<Stored> {
        let sequence = message.info().map(|info| info.stream_sequence);
        let read = match sequence {
            Ok(sequence) if sequence <= self.last => return None,
            Ok(sequence) => subject::aggregate_of(&message.subject).map(|aggregate| Stored {
                aggregate,
                version: Version(sequence),
                position: Position(sequence),
                bytes: message.message.payload.clone(),
            }),
            Err(source) => Err(format!("a message names no place: {source}")),
        };
        match read {
            Ok(stored) => {
                self.last = stored.position.0;
                Some(stored)
            }
            Err(what) => {
                let service = message.subject.split('.').nth(1).unwrap_or_default().to_owned();
                let (category, id) = (String::new(), message.subject.to_string());
                self.damage = Some((AggregateId { service, category, id }, what));
                None
            }
        }
    }
}

/// What was taken is answered first; the consumer tells its end again.
fn ended(batch: Vec<Stored>, why: nexus_es::log::Source) -> Result<Vec<Stored>, LogError> {
    if batch.is_empty() { Err(LogError::Unavailable(why)) } else { Ok(batch) }
}

#[async_trait]
impl Tail for LogTail {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>, LogError> {
        std::future::poll_fn(|cx| self.poll_batch(cx, max)).await
    }
}
