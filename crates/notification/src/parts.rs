//! What the rooms of this service share.

use std::sync::Arc;

use nexus_es::process::Trouble;
use nexus_es::seal::SealError;
use nexus_es::views::Views;
use nexus_es::{HandleError, Handler, Version};
use nexus_proto::notification::v1::SealedChannelCredentials;
use nexus_proto::order::v1::{GetRecipientRequest, GetRecipientResponse};
use nexus_runtime::{Ports, status};
use prost::Message as _;
use zeroize::Zeroizing;

use crate::channel::Channel;
use crate::config::Config;
use crate::domain::channel_account::ChannelAccount;
use crate::domain::message::Message;
use crate::domain::template::Template;
use crate::processes::pace::Rests;
use crate::views::accounts::Account;
use crate::wire::SERVICE;

pub(crate) struct Parts {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) views: Arc<Views>,
    pub(crate) messages: Handler<Message>,
    pub(crate) templates: Handler<Template>,
    pub(crate) accounts: Handler<ChannelAccount>,
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) rests: Rests,
}

impl Parts {
    /// The secrets of an account; `None` when their key was deleted.
    pub(crate) async fn credentials(
        &self,
        account: &Account,
    ) -> Result<Option<SealedChannelCredentials>, SealError> {
        let context = credentials_context(account.rotations > 0);
        let clear = self.ports.vault.open(&account.credentials, context).await?;
        Ok(clear
            .map(|clear| SealedChannelCredentials::decode(clear.as_slice()).unwrap_or_default()))
    }

    /// Makes sure that reading a message shows at least `version`, which another replica may have
    /// written.
    pub(crate) async fn catch_up(&self, id: &str, version: Version) -> Result<(), Trouble> {
        let known = self.messages.read(id, |_| ()).await;
        let (receipt, ()) = known.map_err(handling("reading a message"))?;
        if receipt.version < version {
            self.messages.forget(id);
        }
        Ok(())
    }

    /// Who gets the order's parcels, in clear.
    pub(crate) async fn recipient(&self, order_id: &str) -> Result<GetRecipientResponse, Trouble> {
        let request = GetRecipientRequest { order_id: order_id.to_owned() };
        let request = self.ports.channels.question(request, SERVICE, order_id);
        match self.ports.channels.order().get_recipient(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            // Its events are here, so the order is there: its view is a little behind.
            Err(status) if status.code() == tonic::Code::NotFound => {
                Err(Trouble::Retry("the order is not in the order view yet".to_owned()))
            }
            Err(status) => Err(status::trouble("reading the order's recipient", &status)),
        }
    }
}

/// True when the contact agreed to be written to on `channel`.
pub(crate) fn has_consent(recipient: &GetRecipientResponse, channel: &str) -> bool {
    recipient.consents.iter().any(|consent| consent.channel == channel && consent.granted)
}

/// The key that the secrets of a channel account are sealed with.
pub(crate) fn account_key(account_id: &str) -> String {
    format!("channel-account-{account_id}")
}

/// What the secrets are sealed as: those of the start, or rotated ones.
pub(crate) fn credentials_context(rotated: bool) -> &'static str {
    if rotated {
        "channel_account.CredentialsRotated.credentials"
    } else {
        "channel_account.Opened.credentials"
    }
}

/// What the webhook's token is sealed as.
pub(crate) const WEBHOOK_TOKEN: &str = "channel_account.Opened.webhook_token";

/// The bytes of a message that holds secrets, wiped when dropped.
pub(crate) fn secret_bytes(message: &impl prost::Message) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(message.encode_to_vec())
}

/// What a failed command means for a process that has no use for refusals.
pub(crate) fn handling<R: std::fmt::Debug>(what: &str) -> impl Fn(HandleError<R>) -> Trouble {
    move |error| match error {
        HandleError::Unknown(_) | HandleError::Unavailable(_) | HandleError::Contended => {
            Trouble::Retry(format!("{what}: {error}"))
        }
        HandleError::Panicked(_) => Trouble::Retry(format!("{what}: {error}")),
        HandleError::Refused(_)
        | HandleError::KeyReused
        | HandleError::TooLarge { .. }
        | HandleError::BadId(_)
        | HandleError::Load(_) => Trouble::Hopeless(format!("{what}: {error}")),
    }
}

/// A failed view or vault: it comes back.
pub(crate) fn broken(what: &str, error: &impl std::fmt::Display) -> Trouble {
    Trouble::Retry(format!("{what}: {error}"))
}
