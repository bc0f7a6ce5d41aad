//! How Nexus says no: gRPC status with a stable reason, violations, and the way forward.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::time::Duration;

use nexus_es::HandleError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::error;

use crate::Violation;

const DOMAIN: &str = "nexus";

fn with_reason(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Status::with_error_details(
        code,
        message,
        ErrorDetails::with_error_info(reason, DOMAIN, metadata),
    )
}

/// The request cannot be parsed: every violation at once.
#[must_use]
pub fn invalid(violations: Vec<Violation>) -> Status {
    let message = match violations.as_slice() {
        [one] => format!("{} {}", one.field, one.description),
        many => format!("{} fields are wrong, see field_violations", many.len()),
    };
    let mut details = ErrorDetails::with_error_info("INVALID_ARGUMENT", DOMAIN, HashMap::new());
    for violation in violations {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// One field is wrong.
#[must_use]
pub fn invalid_field(field: &str, description: impl Into<String>) -> Status {
    invalid(vec![Violation { field: field.to_owned(), description: description.into() }])
}

/// There is no such thing.
#[must_use]
pub fn not_found(kind: &str, id: &str) -> Status {
    let message = format!("there is no {kind} \"{id}\"");
    with_reason(Code::NotFound, "NOT_FOUND", message, &[("kind", kind), ("id", id)])
}

/// The domain says no: a stable reason, a sentence that names the present state, the wish and the
/// way forward, and the facts as metadata.
#[must_use]
pub fn refused(reason: &str, sentence: impl Into<String>, facts: &[(&str, &str)]) -> Status {
    let sentence = sentence.into();
    let metadata: HashMap<_, _> =
        facts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    let subject = facts.first().map(|(_, value)| *value).unwrap_or_default();
    details.add_precondition_failure_violation(reason, subject, sentence.clone());
    Status::with_error_details(Code::FailedPrecondition, sentence, details)
}

/// It is there already, and different.
#[must_use]
pub fn already_exists(reason: &str, sentence: impl Into<String>) -> Status {
    with_reason(Code::AlreadyExists, reason, sentence, &[])
}

/// Not built yet: said, never pretended.
#[must_use]
pub fn unimplemented(sentence: impl Into<String>) -> Status {
    with_reason(Code::Unimplemented, "NOT_BUILT_YET", sentence, &[])
}

/// Nobody said who calls, or the key is not known.
#[must_use]
pub fn unauthenticated(sentence: &str) -> Status {
    with_reason(Code::Unauthenticated, "UNAUTHENTICATED", sentence, &[])
}

/// Something that is needed does not answer; nothing was done.
#[must_use]
pub fn unavailable(sentence: impl Into<String>) -> Status {
    with_reason(Code::Unavailable, "UNAVAILABLE", sentence, &[])
}

/// A bug or a broken part of ours: logged whole, told without detail.
#[must_use]
pub fn internal(error: &dyn std::error::Error) -> Status {
    error!("{}", chain(error));
    let sentence = "something went wrong on our side, the trace id leads to it";
    with_reason(Code::Internal, "INTERNAL", sentence, &[])
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What the command handler answered, as a status; `refusal` knows the domain's words.
pub fn of<R: Debug>(error: HandleError<R>, refusal: impl FnOnce(R) -> Status) -> Status {
    match error {
        HandleError::Refused(no) => refusal(no),
        HandleError::KeyReused => with_reason(
            Code::InvalidArgument,
            "IDEMPOTENCY_KEY_REUSED",
            "this idempotency key was used for another request: send the same body, or a new key",
            &[],
        ),
        HandleError::Contended => with_reason(
            Code::Aborted,
            "CONTENDED",
            "it kept changing while we tried, try again",
            &[],
        ),
        HandleError::Unknown(source) => {
            error!("the log did not answer: {}", chain(&*source));
            let sentence =
                "the event log did not answer: send the same request with the same key again";
            with_reason(Code::Unavailable, "OUTCOME_UNKNOWN", sentence, &[])
        }
        HandleError::Unavailable(source) => {
            error!("the log is not available: {}", chain(&*source));
            unavailable("the event log takes no commits now, nothing was changed, try again")
        }
        HandleError::TooLarge { bytes } => invalid_field(
            "body",
            format!("makes {bytes} bytes of events, more than one commit holds: split it"),
        ),
        HandleError::BadId(bad) => invalid_field("id", bad.to_string()),
        HandleError::Load(source) => internal(&*source),
        HandleError::Panicked(why) => internal(&Panicked(why)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a command panicked: {0}")]
struct Panicked(String);

/// True when trying again can help: the callee was not there, or did not answer in time.
#[must_use]
pub fn is_transient(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

/// How long a process waits before it asks again for a service that is away.
const AWAY: Duration = Duration::from_secs(1);

/// What a failed call means for a process: transient trouble is tried again, anything else is not.
/// The text holds the reason only, never the sentence, which may quote personal data.
#[must_use]
pub fn trouble(what: &str, status: &Status) -> nexus_es::process::Trouble {
    let text = format!("{what}: {:?} {}", status.code(), reason(status).unwrap_or_default());
    if let Some(wait) = retry_after(status) {
        return nexus_es::process::Trouble::NotYet(wait, text);
    }
    // Whoever is away comes back: that costs time, and nobody's work is parked for it.
    if status.code() == Code::Unavailable {
        return nexus_es::process::Trouble::NotYet(AWAY, text);
    }
    if is_transient(status) {
        nexus_es::process::Trouble::Retry(text)
    } else {
        nexus_es::process::Trouble::Hopeless(text)
    }
}

/// The stable reason of a status, if it carries one.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// Turns any displayable failure of a view or port into UNAVAILABLE, and logs it.
pub fn broken(what: &str, error: impl Display) -> Status {
    error!("{what}: {error}");
    unavailable(format!("{what}: try again"))
}
