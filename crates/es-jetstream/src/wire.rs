//! One connection, and the requests that all ports make over it.
//! *Invariant:* what is answered was read: a request that was not answered in time, or whose
//! connection broke, is an error, and nothing is sent while there is no connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::header::{IntoHeaderName, NATS_LAST_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use async_nats::{Client, HeaderMap, Message, Request, Subscriber};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use nexus_es::log::Source;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::connection::{self, Changes};
use crate::error::Error;
use crate::options::Options;

/// Messages a page: the reply has no flow control, so it must fit the client's buffer.
const PAGE: u64 = 1_000;
/// Bytes a page, for the same reason.
const PAGE_BYTES: u64 = 16 * 1024 * 1024;

/// Says how much is left after a page.
const NATS_NUM_PENDING: &str = "Nats-Num-Pending";

/// A connection, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) client: Client,
    pub(crate) request_timeout: Duration,
    pub(crate) changes: Changes,
    closed: AtomicBool,
    inboxes: Inboxes,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// It was not sent.
    #[error("not connected to NATS")]
    NotConnected,
    /// It was sent, and then the connection broke.
    #[error("the connection to NATS broke")]
    Broken,
    /// The client gave it up, or its time ran out.
    #[error(transparent)]
    Client(#[from] async_nats::client::RequestError),
}

/// A message as a stream holds it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) payload: Bytes,
    /// As on the wire; only the leader tells them.
    headers: String,
}

impl Held {
    /// The value of a header, if the leader told it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value.trim())
    }
}

/// What a reply to a direct get is.
enum Reply {
    Held {
        held: Held,
        previous: Option<u64>,
    },
    /// The page ends; more is left or not.
    End {
        more: bool,
    },
}

impl Wire {
    /// Connects as the options say.
    pub(crate) async fn open(options: &Options) -> Result<Self, Error> {
        let (client, changes) = connection::open(options, options.login.as_ref()).await?;
        connection::check_server(&client)?;
        let request_timeout = options.request_timeout;
        let inboxes = Inboxes { client: client.clone(), free: Mutex::default() };
        Ok(Self { client, request_timeout, changes, closed: AtomicBool::new(false), inboxes })
    }

    /// Refuses what would only wait for its time limit.
    ///
    /// For a write it is more: the client would keep it and send it after it reconnected.
    pub(crate) fn connected(&self) -> Result<(), NoAnswer> {
        match self.client.connection_state() {
            State::Connected if !self.closed.load(Ordering::Relaxed) => Ok(()),
            State::Connected => Err(NoAnswer::NotConnected),
            State::Pending | State::Disconnected => Err(NoAnswer::NotConnected),
        }
    }

    /// How often it has connected: what the server kept in memory for an earlier one is gone.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for its answer, no longer than the connection holds.
    pub(crate) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Bytes, NoAnswer> {
        let mut broken = self.changes.broken.clone();
        broken.mark_unchanged();
        self.connected()?;
        let mut request = Request::new().payload(payload).timeout(Some(self.request_timeout));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        tokio::select! {
            biased;
            answer = self.client.send_request(subject, request) => Ok(answer?.payload),
            Ok(()) = broken.changed() => Err(NoAnswer::Broken),
        }
    }

    /// Asks the API of JetStream.
    pub(crate) async fn api(&self, subject: &str, what: &Value) -> Result<Response<Value>, Source> {
        let subject = format!("$JS.API.{subject}");
        let answer = self.ask(subject, None, Bytes::from(what.to_string())).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// One message, as the leader of `stream` knows it.
    pub(crate) async fn ask_leader(
        &self,
        stream: &str,
        which: &Value,
    ) -> Result<Option<Held>, Source> {
        let message = match self.api(&format!("STREAM.MSG.GET.{stream}"), which).await? {
            Response::Ok(answer) => answer,
            Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => {
                return Ok(None);
            }
            Response::Err { error } => return Err(error.into()),
        };
        let text = |field: &str| message.pointer(&format!("/message/{field}"))?.as_str();
        let sequence = message.pointer("/message/seq").and_then(Value::as_u64);
        let (Some(sequence), Some(subject)) = (sequence, text("subject")) else {
            return Err("the answer holds no message".into());
        };
        let payload = Bytes::from(BASE64_STANDARD.decode(text("data").unwrap_or_default())?);
        let headers = BASE64_STANDARD.decode(text("hdrs").unwrap_or_default())?;
        let headers = String::from_utf8_lossy(&headers).into_owned();
        Ok(Some(Held { sequence, subject: subject.to_owned(), payload, headers }))
    }

    /// The first message of `filter` after `after`, as the leader knows it.
    pub(crate) async fn next_from_leader(
        &self,
        stream: &str,
        filter: &str,
        after: u64,
    ) -> Result<Option<Held>, Source> {
        let which = json!({ "seq": after.saturating_add(1), "next_by_subj": filter });
        self.ask_leader(stream, &which).await
    }

    /// The messages of `filter` after `after`, from whichever copy answers: one that lags behind
    /// the leader may miss the newest.
    pub(crate) async fn direct(
        &self,
        stream: &str,
        filter: &str,
        after: u64,
    ) -> Result<Vec<Held>, Source> {
        self.connected()?;
        let mut inbox = self.inboxes.take().await?;
        let mut messages: Vec<Held> = Vec::new();
        let mut from = after;
        while self.page(&mut inbox, (stream, filter), from, &mut messages).await? {
            let last = messages.last().map_or(from, |held| held.sequence);
            if last == from {
                return Err("the server sent an empty page and says more is left".into());
            }
            from = last;
        }
        self.inboxes.give_back(inbox);
        Ok(messages)
    }

    /// The messages of `filter` after `after`: every one that was acknowledged before.
    pub(crate) async fn all(
        &self,
        stream: &str,
        filter: &str,
        after: u64,
    ) -> Result<Vec<Held>, Source> {
        // Most often there is nothing new, and the leader's word for it is one round trip.
        if self.next_from_leader(stream, filter, after).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut messages = self.direct(stream, filter, after).await?;
        loop {
            let last = messages.last().map_or(after, |held| held.sequence);
            match self.next_from_leader(stream, filter, last).await? {
                Some(next) => messages.push(next),
                None => return Ok(messages),
            }
        }
    }

    /// Reads one page. True: more is left.
    async fn page(
        &self,
        inbox: &mut Inbox,
        (stream, filter): (&str, &str),
        after: u64,
        messages: &mut Vec<Held>,
    ) -> Result<bool, Source> {
        let mut broken = self.changes.broken.clone();
        broken.mark_unchanged();
        let request = json!({
            "seq": after.saturating_add(1),
            "next_by_subj": filter,
            "batch": PAGE,
            "max_bytes": PAGE_BYTES,
        });
        let to = format!("$JS.API.DIRECT.GET.{stream}");
        let payload = Bytes::from(request.to_string());
        self.client.publish_with_reply(to, inbox.subject.clone(), payload).await?;
        let mut before: Option<u64> = None;
        loop {
            let next = timeout(self.request_timeout, inbox.replies.next());
            let reply = tokio::select! {
                biased;
                reply = next => reply?.ok_or("the connection to NATS is closed")?,
                Ok(()) = broken.changed() => return Err(NoAnswer::Broken.into()),
            };
            match read_reply(reply)? {
                Reply::End { more } => return Ok(more),
                // Each reply names the one before it, so that a lost one is noticed.
                Reply::Held { previous, .. } if before.is_some() && previous != before => {
                    return Err("a part of the answer was lost".into());
                }
                Reply::Held { held, .. } => {
                    before = Some(held.sequence);
                    messages.push(held);
                }
            }
        }
    }

    /// Ends the connection: what was sent before still leaves.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Err(error) = self.client.drain().await {
            tracing::debug!("the NATS connection was closed before: {error}");
        }
    }
}

fn read_reply(reply: Message) -> Result<Reply, Source> {
    let none = HeaderMap::new();
    let headers = reply.headers.as_ref().unwrap_or(&none);
    match reply.status.map(|status| status.as_u16()) {
        None => {}
        Some(204) => return Ok(Reply::End { more: number(headers, NATS_NUM_PENDING) != Some(0) }),
        Some(404) => return Ok(Reply::End { more: false }),
        Some(status) => {
            let why = reply.description.unwrap_or_default();
            return Err(format!("the server answered {status} {why}").into());
        }
    }
    let subject = headers.get_last(NATS_SUBJECT).map(async_nats::HeaderValue::as_str);
    let (Some(sequence), Some(subject)) = (number(headers, NATS_SEQUENCE), subject) else {
        return Err("the server sent a message without its place".into());
    };
    let previous = number(headers, NATS_LAST_SEQUENCE);
    let (subject, headers) = (subject.to_owned(), String::new());
    let held = Held { sequence, subject, payload: reply.payload, headers };
    Ok(Reply::Held { held, previous })
}

fn number(headers: &HeaderMap, name: impl IntoHeaderName) -> Option<u64> {
    headers.get_last(name)?.as_str().parse().ok()
}

/// Reply subjects that stay subscribed, so that a read is one round trip.
#[derive(Debug)]
struct Inboxes {
    client: Client,
    free: Mutex<Vec<Inbox>>,
}

#[derive(Debug)]
struct Inbox {
    subject: String,
    replies: Subscriber,
}

impl Inboxes {
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
