//! Appending: one message, guarded by the aggregate's last sequence.
//! *Invariant:* what is said was read: appended and conflict only after the leader told where the
//! commit, or the one that was faster, stands; everything else is unknown.

use std::str::FromStr;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use async_nats::header::{
    HeaderName, HeaderValue, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID,
};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use nexus_es::log::{Append, AppendError, Appended, Source};
use nexus_es::{Position, Version};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::jetstream_log::JetStreamLog;
use crate::subject;
use crate::wire::{Held, NoAnswer};

/// The guard failed; the description names the actual sequence.
pub(crate) const WRONG_LAST_SEQUENCE: ErrorCode = ErrorCode(10_071);
/// The guard failed against a write that is still being replicated.
pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: ErrorCode = ErrorCode(10_164);
/// The same message id is still being replicated.
const DUPLICATE_IN_FLIGHT: ErrorCode = ErrorCode(10_158);
/// The stream could not store: also said when its disk budget is used up.
const STORE_FAILED: ErrorCode = ErrorCode(10_077);

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The header of the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// What the server said to one attempt.
enum Answer {
    /// It stands at this sequence.
    Stored(u64),
    /// The message id is known, from this sequence.
    Known(u64),
    /// The aggregate is elsewhere; where, if the server knows.
    Moved(Option<u64>),
    /// Something of the same aggregate or id is on its way.
    Busy(Source),
    /// It was not stored.
    Refused(Source),
    /// There is no connection that it could have been sent over.
    NotSent(Source),
    /// Nobody knows.
    Unknown(Source),
}

/// Appends one commit, and finds out what became of it as far as that is possible in time.
pub(crate) async fn append(log: &JetStreamLog, append: &Append) -> Result<Appended, AppendError> {
    append.check_size()?;
    let service = &append.aggregate.service;
    let stream = log.stream_name(service).map_err(AppendError::Unavailable)?;
    log.wire.connected().map_err(|why| AppendError::Unavailable(why.into()))?;
    let attempt = Attempt { log, stream, subject: subject::of(&append.aggregate), append };
    // Whoever resends after that still answers within the time of one request.
    let deadline = Instant::now() + log.wire.request_timeout.mul_f64(0.75);
    let mut pause = FIRST_PAUSE;
    let mut sent = false;
    loop {
        let waiting_for: Source = match attempt.send().await {
            Answer::Stored(sequence) => return Ok(appended(sequence)),
            Answer::Known(sequence) => return attempt.resolve_known(sequence).await,
            Answer::Moved(actual) => match attempt.resolve_moved(actual).await? {
                Some(appended) => return Ok(appended),
                None => "a write of the aggregate is not readable yet".into(),
            },
            Answer::Busy(source) | Answer::Unknown(source) => source,
            Answer::Refused(source) if sent => return Err(AppendError::Unknown(source)),
            Answer::Refused(source) => return Err(AppendError::Unavailable(source)),
            Answer::NotSent(source) if sent => source,
            Answer::NotSent(source) => return Err(AppendError::Unavailable(source)),
        };
        // What is on its way may be an earlier attempt of this very commit, so the answer stays
        // unknown until it has arrived. A server that is away for a moment is waited for.
        sent = true;
        if Instant::now() + pause > deadline {
            return Err(AppendError::Unknown(waiting_for));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn appended(sequence: u64) -> Appended {
    Appended { version: Version(sequence), position: Position(sequence) }
}

struct Attempt<'a> {
    log: &'a JetStreamLog,
    stream: String,
    subject: String,
    append: &'a Append,
}

impl Attempt<'_> {
    /// Sends the message. Each attempt is the same to the byte.
    async fn send(&self) -> Answer {
        let (subject, bytes) = (self.subject.clone(), self.append.bytes.clone());
        match self.log.wire.ask(subject, Some(self.headers()), bytes).await {
            Ok(reply) => self.read_reply(&reply),
            Err(NoAnswer::Client(error)) => match error.kind() {
                // Found before anything was sent.
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    Answer::Refused(error.into())
                }
                RequestErrorKind::TimedOut
                | RequestErrorKind::NoResponders
                | RequestErrorKind::Other => Answer::Unknown(error.into()),
            },
            Err(error @ NoAnswer::Broken) => Answer::Unknown(error.into()),
            Err(error @ NoAnswer::NotConnected) => Answer::NotSent(error.into()),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, self.append.expected.0.to_string());
        headers.insert(NATS_MESSAGE_ID, self.append.commit_id.to_string());
        // A trace context that cannot be a header is not worth a commit.
        if !self.append.traceparent.is_empty()
            && let Ok(traceparent) = HeaderValue::from_str(&self.append.traceparent)
        {
            headers.insert(TRACEPARENT, traceparent);
        }
        headers
    }

    fn read_reply(&self, reply: &[u8]) -> Answer {
        match serde_json::from_slice::<Response<PublishAck>>(reply) {
            Ok(Response::Ok(ack)) if ack.stream != self.stream => {
                Answer::Unknown(format!("the stream {} took the commit", ack.stream).into())
            }
            Ok(Response::Ok(ack)) if ack.duplicate => Answer::Known(ack.sequence),
            Ok(Response::Ok(ack)) => Answer::Stored(ack.sequence),
            Ok(Response::Err { error }) => read_error(error),
            Err(source) => Answer::Unknown(source.into()),
        }
    }

    /// The message id is known: says where, if it is this commit that stands there.
    async fn resolve_known(&self, sequence: u64) -> Result<Appended, AppendError> {
        let asked = self.log.wire.ask_leader(&self.stream, &json!({ "seq": sequence })).await;
        let Some(known) = asked.map_err(AppendError::Unknown)? else {
            return Err(AppendError::Unknown("what the server knows is not there".into()));
        };
        if known.subject != self.subject {
            let other = known.subject;
            let why = format!("the commit's id was already used by {other} at {sequence}");
            return Err(AppendError::Unavailable(why.into()));
        }
        if self.is_mine(&known) { Ok(appended(sequence)) } else { Err(AppendError::Conflict) }
    }

    /// The guard failed: if the first commit after the expected version is this one, an earlier
    /// attempt landed. None: the one that made the guard fail cannot be read yet.
    async fn resolve_moved(&self, actual: Option<u64>) -> Result<Option<Appended>, AppendError> {
        let expected = self.append.expected.0;
        let newer = self.log.wire.next_from_leader(&self.stream, &self.subject, expected).await;
        match newer.map_err(AppendError::Unknown)? {
            Some(newer) if self.is_mine(&newer) => Ok(Some(appended(newer.sequence))),
            Some(_) => Err(AppendError::Conflict),
            // Expected was a version that this aggregate never had.
            None if actual.is_some_and(|actual| actual <= expected) => Err(AppendError::Conflict),
            None => Ok(None),
        }
    }

    fn is_mine(&self, stored: &Held) -> bool {
        let header = |name: HeaderName| stored.header(name.as_ref());
        header(NATS_MESSAGE_ID) == Some(self.append.commit_id.to_string().as_str())
            && header(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE)
                == Some(self.append.expected.0.to_string().as_str())
            && stored.payload == self.append.bytes
    }
}

fn read_error(error: jetstream::Error) -> Answer {
    match error.error_code() {
        WRONG_LAST_SEQUENCE => Answer::Moved(actual_sequence(&error.to_string())),
        WRONG_LAST_SEQUENCE_IN_FLIGHT => Answer::Moved(None),
        DUPLICATE_IN_FLIGHT => Answer::Busy(error.into()),
        STORE_FAILED if error.to_string().contains("maximum") => Answer::Refused(error.into()),
        // The server understood the message and will not have it.
        _ if error.code() < 500 => Answer::Refused(error.into()),
        _ => Answer::Unknown(error.into()),
    }
}

/// The number of `wrong last sequence: 3`.
fn actual_sequence(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once("wrong last sequence: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(code: u64, status: u64, description: &str) -> Answer {
        let error = serde_json::json!({
            "code": status, "err_code": code, "description": description,
        });
        read_error(serde_json::from_value(error).unwrap())
    }

    #[test]
    fn both_codes_of_a_failed_guard_mean_that_the_aggregate_moved() {
        let named = answer_to(10_071, 400, "wrong last sequence: 42");
        assert!(matches!(named, Answer::Moved(Some(42))));
        let in_flight = answer_to(10_164, 400, "wrong last sequence");
        assert!(matches!(in_flight, Answer::Moved(None)));
    }

    #[test]
    fn a_full_stream_is_a_refusal_and_a_failing_server_is_unknown() {
        assert!(matches!(answer_to(10_077, 503, "maximum bytes exceeded"), Answer::Refused(_)));
        assert!(matches!(answer_to(10_077, 503, "input/output error"), Answer::Unknown(_)));
        assert!(matches!(answer_to(10_008, 503, "unavailable"), Answer::Unknown(_)));
        assert!(matches!(answer_to(10_158, 409, "in process"), Answer::Busy(_)));
    }
}
