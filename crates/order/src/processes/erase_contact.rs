//! When a contact is erased: destroys its data key and frees its phone. The answer to the call does
//! it at once; this does it again, so that a crash in between leaves nothing readable.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::process::{Process, Trouble};
use nexus_es::seal::Vault;
use nexus_es::{Cause, Handler, Heard, clock};
use nexus_proto::order::v1::ContactErased;
use nexus_runtime::telemetry;

use crate::domain::phone_claim::{Command, PhoneClaim};
use crate::personal;
use crate::wire::{self, SERVICE};

const NAME: &str = "erase_contact";

pub(crate) struct EraseContact {
    vault: Arc<Vault>,
    claims: Handler<PhoneClaim>,
}

impl EraseContact {
    pub(crate) fn new(vault: Arc<Vault>, claims: Handler<PhoneClaim>) -> Self {
        Self { vault, claims }
    }
}

/// Destroys the data key of a contact and frees its phone.
pub(crate) async fn forget(
    vault: &Vault,
    claims: &Handler<PhoneClaim>,
    contact_id: &str,
    phone_hmac: &[u8],
    cause: Cause,
) -> Result<(), Trouble> {
    let erased = vault.erase(&personal::key_id(contact_id)).await;
    erased.map_err(|error| Trouble::Retry(error.to_string()))?;
    if phone_hmac.is_empty() {
        return Ok(());
    }
    let command = Command::Release { contact_id: contact_id.to_owned(), reason: "erased" };
    let released = claims.execute(&hex::encode(phone_hmac), command, cause).await;
    released.map(|_| ()).map_err(|error| Trouble::Retry(error.to_string()))
}

#[async_trait]
impl Process for EraseContact {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "contact.Erased").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let erased: ContactErased =
            wire::read(&heard.payload).map_err(|error| Trouble::Hopeless(error.to_string()))?;
        let now = clock::now_ms();
        let cause = heard.cause_for(NAME, "forget", now, telemetry::current_traceparent());
        let id = heard.aggregate.id.as_str();
        forget(&self.vault, &self.claims, id, &erased.phone_hmac, cause).await
    }
}
