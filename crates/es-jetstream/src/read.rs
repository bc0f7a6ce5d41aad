//! Reading one aggregate: pages by direct get, and the leader where a copy may lag.
//! *Invariant:* a load holds every commit that was acknowledged before it began, in order.

use std::sync::{Mutex, PoisonError};

use async_nats::header::{NATS_LAST_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind, Stream};
use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use nexus_es::log::{LogError, Source};
use nexus_es::{AggregateId, Position, Stored, Version};
use serde_json::json;
use tokio::time::timeout;

use crate::jetstream_log::JetStreamLog;
use crate::subject;

/// Commits a page: the reply has no flow control, so it must fit the client's buffer.
const PAGE: u64 = 1_000;
/// Bytes a page, for the same reason.
const PAGE_BYTES: u64 = 16 * 1024 * 1024;

/// Says how much is left after a page.
const NATS_NUM_PENDING: &str = "Nats-Num-Pending";

/// Reply subjects that stay subscribed, so that a read is one round trip.
#[derive(Debug)]
pub(crate) struct Inboxes {
    client: Client,
    free: Mutex<Vec<Inbox>>,
}

#[derive(Debug)]
struct Inbox {
    subject: String,
    replies: Subscriber,
}

impl Inboxes {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, free: Mutex::new(Vec::new()) }
    }

    async fn take(&self) -> Result<Inbox, Source> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(inbox) = free {
            return Ok(inbox);
        }
        let subject = self.client.new_inbox();
        let replies = self.client.subscribe(subject.clone()).await?;
        Ok(Inbox { subject, replies })
    }

    /// Only an inbox whose last reply came is given back: one that failed or was abandoned may
    /// still get replies of that read, and is dropped.
    fn give_back(&self, inbox: Inbox) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(inbox);
    }
}

/// The commits of `aggregate` after `after`.
pub(crate) async fn load(
    log: &JetStreamLog,
    aggregate: &AggregateId,
    after: Version,
) -> Result<Vec<Stored>, LogError> {
    log.connected().map_err(LogError::Unavailable)?;
    let stream = log.stream(&aggregate.service).map_err(LogError::Unavailable)?;
    let reader = Reader { log, stream, aggregate, subject: subject::of(aggregate) };
    if !log.replicated {
        return reader.direct(after.0).await;
    }
    // Whichever copy answers a direct get may lag; the leader, asked at the same time, knows the
    // last commit that was acknowledged before.
    let (commits, last) =
        futures::future::try_join(reader.direct(after.0), reader.last_of_leader()).await?;
    reader.catch_up(commits, after.0, last).await
}

/// The first message of `subject` after the sequence `after`, as the leader knows it.
pub(crate) async fn next_from_leader(
    stream: &Stream<()>,
    subject: &str,
    after: u64,
) -> Result<Option<StreamMessage>, RawMessageError> {
    let asked = stream.raw_message_builder().sequence(after.saturating_add(1));
    found(asked.next_by_subject(subject).send().await)
}

fn found(
    answer: Result<StreamMessage, RawMessageError>,
) -> Result<Option<StreamMessage>, RawMessageError> {
    match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error),
    }
}

struct Reader<'a> {
    log: &'a JetStreamLog,
    stream: &'a Stream<()>,
    aggregate: &'a AggregateId,
    subject: String,
}

/// What a reply to a direct get is.
enum Reply {
    Commit {
        stored: Stored,
        previous: Option<u64>,
    },
    /// The page ends; more is left or not.
    End {
        more: bool,
    },
}

impl Reader<'_> {
    async fn direct(&self, after: u64) -> Result<Vec<Stored>, LogError> {
        let mut inbox = self.log.inboxes.take().await.map_err(LogError::Unavailable)?;
        let mut commits: Vec<Stored> = Vec::new();
        let mut from = after;
        while self.page(&mut inbox, from, &mut commits).await? {
            let last = commits.last().map_or(from, |stored| stored.version.0);
            if last == from {
                return Err(unavailable("the server sent an empty page and says more is left"));
            }
            from = last;
        }
        self.log.inboxes.give_back(inbox);
        Ok(commits)
    }

    /// Reads one page. True: more is left.
    async fn page(
        &self,
        inbox: &mut Inbox,
        after: u64,
        commits: &mut Vec<Stored>,
    ) -> Result<bool, LogError> {
        let request = json!({
            "seq": after.saturating_add(1),
            "next_by_subj": self.subject,
            "batch": PAGE,
            "max_bytes": PAGE_BYTES,
        });
        let stream = subject::stream_of(&self.aggregate.service);
        let to = format!("$JS.API.DIRECT.GET.{stream}");
        let payload = Bytes::from(request.to_string());
        let sent = self.log.client.publish_with_reply(to, inbox.subject.clone(), payload).await;
        sent.map_err(|source| LogError::Unavailable(source.into()))?;
        let mut before: Option<u64> = None;
        loop {
            let reply = timeout(self.log.request_timeout, inbox.replies.next())
                .await
                .map_err(|late| LogError::Unavailable(late.into()))?
                .ok_or_else(|| unavailable("the connection to NATS is closed"))?;
            match self.read_reply(reply)? {
                Reply::End { more } => return Ok(more),
                // Each reply names the one before it, so that a lost one is noticed.
                Reply::Commit { previous, .. } if before.is_some() && previous != before => {
                    return Err(unavailable("a part of the answer was lost"));
                }
                Reply::Commit { stored, .. } => {
                    before = Some(stored.version.0);
                    commits.push(stored);
                }
            }
        }
    }

    fn read_reply(&self, reply: Message) -> Result<Reply, LogError> {
        let none = HeaderMap::new();
        let headers = reply.headers.as_ref().unwrap_or(&none);
        match reply.status.map(|status| status.as_u16()) {
            None => {}
            Some(204) => {
                return Ok(Reply::End { more: number(headers, NATS_NUM_PENDING) != Some(0) });
            }
            Some(404) => return Ok(Reply::End { more: false }),
            Some(status) => {
                let why = reply.description.unwrap_or_default();
                return Err(unavailable(format!("the server answered {status} {why}")));
            }
        }
        let subject = headers.get_last(NATS_SUBJECT).map(async_nats::HeaderValue::as_str);
        let Some(sequence) = number(headers, NATS_SEQUENCE) else {
            return Err(self.damaged("a stored commit has no sequence"));
        };
        if subject != Some(self.subject.as_str()) {
            return Err(self.damaged("another aggregate's commit was read"));
        }
        let previous = number(headers, NATS_LAST_SEQUENCE);
        Ok(Reply::Commit { stored: self.stored(sequence, reply.payload), previous })
    }

    /// The sequence of the aggregate's last commit, zero if it has none.
    async fn last_of_leader(&self) -> Result<u64, LogError> {
        let asked = self.stream.get_last_raw_message_by_subject(&self.subject).await;
        let last = found(asked).map_err(|source| LogError::Unavailable(source.into()))?;
        Ok(last.map_or(0, |message| message.sequence))
    }

    /// Reads from the leader what is missing up to `last`.
    async fn catch_up(
        &self,
        mut commits: Vec<Stored>,
        after: u64,
        last: u64,
    ) -> Result<Vec<Stored>, LogError> {
        loop {
            let have = commits.last().map_or(after, |stored| stored.version.0);
            if have >= last {
                return Ok(commits);
            }
            let next = next_from_leader(self.stream, &self.subject, have)
                .await
                .map_err(|source| LogError::Unavailable(source.into()))?
                .ok_or_else(|| {
                    unavailable("the leader changed and does not know its commits yet")
                })?;
            commits.push(self.stored(next.sequence, next.payload));
        }
    }

    fn stored(&self, sequence: u64, bytes: Bytes) -> Stored {
        Stored {
            aggregate: self.aggregate.clone(),
            version: Version(sequence),
            position: Position(sequence),
            bytes,
        }
    }

    fn damaged(&self, what: &str) -> LogError {
        LogError::Damaged { aggregate: self.aggregate.clone(), what: what.to_owned() }
    }
}

fn unavailable(why: impl Into<Source>) -> LogError {
    LogError::Unavailable(why.into())
}

fn number(headers: &HeaderMap, name: impl async_nats::header::IntoHeaderName) -> Option<u64> {
    headers.get_last(name)?.as_str().parse().ok()
}
