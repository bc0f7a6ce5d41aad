//! Calls that change a ledger go to the replica that owns it.
//! *Invariant:* the owner does what it is asked under the caller's own key, so that a call whose
//! answer was lost, and which is then decided here, is done once.

use std::time::Duration;

use futures::future::BoxFuture;
use nexus_es::new_id;
use nexus_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use nexus_runtime::caller::{CAUSATION, FORWARDED, IDEMPOTENCY_KEY, STORY};
use nexus_runtime::channels::Client;
use nexus_runtime::reply::REPLAYED;
use nexus_runtime::rpc::{ACTOR, ACTOR_SIGNATURE};
use nexus_runtime::{Violations, telemetry};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};

use super::{Inventory, parse};
use crate::owners::Decides;

/// An owner that has not answered by then is taken for gone: who asked is still told in time.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// What of the caller's words the owner gets.
const WORDS: [&str; 4] = [IDEMPOTENCY_KEY, STORY, CAUSATION, "grpc-timeout"];
/// And the proof of who the caller is.
const PROOF: [&str; 2] = [ACTOR, ACTOR_SIGNATURE];

/// What became of a call.
pub(super) enum Forwarded<Q, A> {
    /// The owner answered.
    Answered(Result<Response<A>, Status>),
    /// It is decided here.
    Ours(Request<Q>),
}

impl Inventory {
    /// Lets the owner of the ledger of `warehouse` answer, if that is another replica and it can
    /// be reached.
    pub(super) async fn by_owner<Q: Clone + Send + Sync, A: Send>(
        &self,
        warehouse: &str,
        mut request: Request<Q>,
        call: impl FnOnce(
            InventoryServiceClient<Client>,
            Request<Q>,
        ) -> BoxFuture<'static, Result<Response<A>, Status>>
        + Send,
    ) -> Forwarded<Q, A> {
        let Some(owners) = &self.owners else { return Forwarded::Ours(request) };
        if request.metadata().contains_key(FORWARDED) {
            return Forwarded::Ours(request);
        }
        let mut violations = Violations::default();
        let code = parse::warehouse(&mut violations, warehouse);
        // What nobody has opened is nobody's, and is refused where it was asked for.
        if !violations.is_empty() || self.opened(&code).await.is_err() {
            return Forwarded::Ours(request);
        }
        match owners.who_decides(&code).await {
            Decides::We => Forwarded::Ours(request),
            Decides::WeUnowned => {
                owners.read_up(&code).await;
                Forwarded::Ours(request)
            }
            Decides::They(owner) => {
                with_key(request.metadata_mut());
                let answer = call(owner.client(), onward(&request));
                match tokio::time::timeout(PATIENCE, answer).await {
                    Ok(Ok(answer)) => Forwarded::Answered(Ok(cleaned(answer))),
                    Ok(Err(no)) if !is_gone(&no) => Forwarded::Answered(Err(as_said(&no))),
                    Ok(Err(_)) | Err(_) => {
                        tracing::warn!("the owner of the stock of {code} does not answer");
                        owner.rest();
                        owners.read_up(&code).await;
                        Forwarded::Ours(request)
                    }
                }
            }
        }
    }
}

/// A caller who gave no key gets one: what is asked twice below must be done once.
fn with_key(metadata: &mut MetadataMap) {
    if metadata.get(IDEMPOTENCY_KEY).is_none_or(MetadataValue::is_empty)
        && let Ok(key) = new_id().to_string().parse()
    {
        metadata.insert(IDEMPOTENCY_KEY, key);
    }
}

/// The same request for the owner, from the same caller, marked so that it goes no further.
fn onward<Q: Clone>(request: &Request<Q>) -> Request<Q> {
    let mut onward = Request::new(request.get_ref().clone());
    let metadata = onward.metadata_mut();
    for name in WORDS {
        if let Some(value) = request.metadata().get(name) {
            metadata.insert(name, value.clone());
        }
    }
    for name in PROOF {
        if let Some(value) = request.metadata().get_bin(name) {
            metadata.insert_bin(name, value.clone());
        }
    }
    metadata.insert(FORWARDED, MetadataValue::from_static("1"));
    if let Ok(traceparent) = telemetry::current_traceparent().parse() {
        metadata.insert("traceparent", traceparent);
    }
    onward
}

/// No answer of a service: nobody was there, or the connection broke. A service that says that
/// it cannot, has spoken.
fn is_gone(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.code() == Code::Cancelled
}

/// The answer without what belongs to the owner's own connection.
fn cleaned<A>(answer: Response<A>) -> Response<A> {
    let (metadata, message, _) = answer.into_parts();
    let mut cleaned = Response::new(message);
    if let Some(replayed) = metadata.get(REPLAYED) {
        cleaned.metadata_mut().insert(REPLAYED, replayed.clone());
    }
    cleaned
}

fn as_said(no: &Status) -> Status {
    Status::with_details(no.code(), no.message(), bytes::Bytes::copy_from_slice(no.details()))
}
