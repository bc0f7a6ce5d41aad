//! Who calls, with which key, in which story.

use nexus_es::views::Views;
use nexus_es::{Actor, Cause, HandleError, clock, commands, derived_id, new_id};
use prost::Message;
use tonic::{Request, Status};
use uuid::Uuid;

use std::sync::Arc;

use crate::{Secrets, status, telemetry};

/// Metadata that carries the caller's idempotency key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Metadata that carries the story's id between services.
pub const STORY: &str = "nexus-story";
/// Metadata that carries the causing event's id between services.
pub const CAUSATION: &str = "nexus-causation";

/// Metadata of a call that one replica forwards to another: it goes no further.
pub const FORWARDED: &str = "nexus-forwarded";

const MAX_KEY: usize = 255;

/// The authenticated caller of one request.
#[derive(Clone)]
pub struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// Its key for this try; generated when it gave none.
    pub idempotency_key: String,
    /// Whether it gave one.
    key_given: bool,
    /// The story the call belongs to, when it comes from within.
    pub story: Option<String>,
    /// The event that caused the call, when it comes from within.
    pub causation_id: Option<Uuid>,
    secrets: Arc<Secrets>,
}

impl Caller {
    /// Reads what the rpc layer and the metadata say.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody vouched for the caller; `INVALID_ARGUMENT` for a bad key.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let known = request.extensions().get::<Authenticated>();
        let Authenticated { actor, secrets } = known
            .cloned()
            .ok_or_else(|| status::unauthenticated("send an API key: authorization: Bearer …"))?;
        let text = |name: &str| {
            let value = request.metadata().get(name).and_then(|value| value.to_str().ok());
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let given = text(IDEMPOTENCY_KEY);
        let key_given = given.is_some();
        let key = given.unwrap_or_else(|| new_id().to_string());
        if key.len() > MAX_KEY {
            let description = format!("is longer than {MAX_KEY} bytes");
            return Err(status::invalid_field("Idempotency-Key", description));
        }
        // Only our own services say what a call belongs to; from outside it would be a forgery.
        let trusted = actor.kind == nexus_es::ActorKind::Service;
        Ok(Self {
            actor,
            idempotency_key: key,
            key_given,
            story: text(STORY).filter(|_| trusted),
            causation_id: text(CAUSATION).filter(|_| trusted).and_then(|id| id.parse().ok()),
            secrets,
        })
    }

    /// The scope of the idempotency key: principal, rpc, key.
    fn scope(&self, rpc: &str) -> [String; 3] {
        let principal = format!("{}:{}", self.actor.kind.as_str_name(), self.actor.id);
        [principal, rpc.to_owned(), self.idempotency_key.clone()]
    }

    /// The cause of the command that this request asks for. The story is the caller's, else a new
    /// one; handlers of an order's calls set the order's id.
    pub fn cause(&self, rpc: &'static str, body: &impl Message) -> Cause {
        let [principal, rpc, key] = self.scope(rpc);
        let command_id = derived_id(&["command", &principal, &rpc, &key]);
        let now = clock::now_ms();
        Cause {
            occurred_at_ms: now,
            learned_at_ms: now,
            command_id,
            request_hash: self.secrets.request_hash(&body.encode_to_vec()),
            story: self.story.clone().unwrap_or_else(|| command_id.to_string()),
            causation_id: self.causation_id,
            actor: self.actor.clone(),
            traceparent: telemetry::current_traceparent(),
        }
    }

    /// As [`Self::cause`], for a command about a thing that the request names: its key may not have
    /// been used for another thing of the service, as far as the views know. (The thing's own
    /// handler knows its keys by itself; so does one that a key's own id creates.)
    ///
    /// # Errors
    /// `IDEMPOTENCY_KEY_REUSED`, or `UNAVAILABLE` when the views cannot be read.
    pub async fn checked_cause(
        &self,
        views: &Views,
        rpc: &'static str,
        body: &impl Message,
    ) -> Result<Cause, Status> {
        let cause = self.cause(rpc, body);
        if !self.key_given || self.actor.kind == nexus_es::ActorKind::Service {
            return Ok(cause);
        }
        let used = commands::request_hash(&views.pool(), cause.command_id).await;
        let used = used.map_err(|error| status::broken("the read model cannot be read", error))?;
        match used {
            Some(hash) if hash != cause.request_hash => {
                Err(status::of(HandleError::KeyReused, |no: std::convert::Infallible| match no {}))
            }
            _ => Ok(cause),
        }
    }

    /// The id of a thing that this request creates: the same request makes the same thing, on
    /// every replica.
    #[must_use]
    pub fn new_id(&self, rpc: &'static str) -> String {
        let [principal, rpc, key] = self.scope(rpc);
        derived_id(&["created", &principal, &rpc, &key]).to_string()
    }
}

/// What the rpc layer found out about a request.
#[derive(Clone)]
pub struct Authenticated {
    /// Who calls.
    pub actor: Actor,
    /// The deployment's secrets, for the request hash.
    pub secrets: Arc<Secrets>,
}
