//! Opens courier accounts for a call: the only place where credentials are in clear.

use std::sync::Arc;

use nexus_es::Handler;
use nexus_es::seal::{SealError, Vault};
use nexus_proto::shipping::v1::SealedCourierCredentials;
use prost::Message;
use secrecy::SecretString;

use crate::courier::{Account, WebhookTarget};
use crate::domain::courier_account::{CourierAccount, Opening};
use crate::domain::{CourierKind, Sealed};
use crate::wire::{sealed_in, sealed_out};

const OPENED_CREDENTIALS: &str = "courier_account.Opened.credentials";
const ROTATED_CREDENTIALS: &str = "courier_account.CredentialsRotated.credentials";
const TOKEN: &str = "courier_account.Opened.webhook_token";
const SECRET: &str = "courier_account.Opened.webhook_secret";

pub(crate) struct Opener {
    handler: Handler<CourierAccount>,
    vault: Arc<Vault>,
    ingress_url: String,
}

/// An account, and whose it is.
pub(crate) struct Opened {
    pub(crate) courier: CourierKind,
    pub(crate) account: Account,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("there is no such courier account")]
    NotFound,
    #[error("the credentials of the courier account cannot be opened any more")]
    Erased,
    #[error("the courier account cannot be read now: {0}")]
    Broken(String),
}

impl From<SealError> for OpenError {
    fn from(error: SealError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Opener {
    pub(crate) const fn new(
        handler: Handler<CourierAccount>,
        vault: Arc<Vault>,
        ingress_url: String,
    ) -> Self {
        Self { handler, vault, ingress_url }
    }

    pub(crate) async fn open(&self, account_id: &str) -> Result<Opened, OpenError> {
        let read = self.handler.read(account_id, CourierAccount::clone).await;
        let (_, state) = read.map_err(|error| OpenError::Broken(error.to_string()))?;
        let now = state.now().ok_or(OpenError::NotFound)?;
        let original = state.has_original_credentials();
        let context = if original { OPENED_CREDENTIALS } else { ROTATED_CREDENTIALS };
        let api_key = match &now.credentials.sealed {
            None => String::new(),
            Some(sealed) => {
                let bytes = self.open_bytes(sealed, context).await?;
                let clear = SealedCourierCredentials::decode(bytes.as_slice());
                clear.map_err(|error| OpenError::Broken(error.to_string()))?.api_key
            }
        };
        Ok(Opened {
            courier: now.courier,
            account: Account {
                mode: now.mode,
                api_key: SecretString::from(api_key),
                pickup_location: now.pickup_location.clone(),
                webhook: self.webhook(now).await?,
            },
        })
    }

    async fn webhook(&self, now: &Opening) -> Result<Option<WebhookTarget>, OpenError> {
        let Some(secret) = &now.webhook.secret else { return Ok(None) };
        if self.ingress_url.is_empty() {
            return Ok(None);
        }
        let token = self.open_text(&now.webhook.token, TOKEN).await?;
        Ok(Some(WebhookTarget {
            url: self.webhook_url(&token),
            header: now.webhook.header.clone(),
            secret: SecretString::from(self.open_text(secret, SECRET).await?),
        }))
    }

    /// Where a courier posts updates.
    pub(crate) fn webhook_url(&self, token: &str) -> String {
        format!("{}/tracking-webhook/{token}", self.ingress_url)
    }

    /// The token in the path of an account's webhook.
    pub(crate) async fn token(
        &self,
        sealed: &nexus_proto::common::v1::Sealed,
    ) -> Result<String, OpenError> {
        self.open_text(&sealed_in(sealed.clone()), TOKEN).await
    }

    /// The secret of an account's webhook.
    pub(crate) async fn secret(&self, sealed: &Sealed) -> Result<String, OpenError> {
        self.open_text(sealed, SECRET).await
    }

    async fn open_bytes(&self, sealed: &Sealed, context: &str) -> Result<Vec<u8>, OpenError> {
        let clear = self.vault.open(&sealed_out(sealed), context).await?;
        clear.map(|clear| clear.to_vec()).ok_or(OpenError::Erased)
    }

    async fn open_text(&self, sealed: &Sealed, context: &str) -> Result<String, OpenError> {
        let bytes = self.open_bytes(sealed, context).await?;
        String::from_utf8(bytes).map_err(|error| OpenError::Broken(error.to_string()))
    }

    /// Credentials on their way into an event.
    pub(crate) async fn seal_credentials(
        &self,
        account_id: &str,
        api_key: &str,
        rotated: bool,
    ) -> Result<Sealed, SealError> {
        let context = if rotated { ROTATED_CREDENTIALS } else { OPENED_CREDENTIALS };
        let clear = SealedCourierCredentials { api_key: api_key.to_owned() }.encode_to_vec();
        self.seal(account_id, context, &clear).await
    }

    pub(crate) async fn seal_token(&self, id: &str, token: &str) -> Result<Sealed, SealError> {
        self.seal(id, TOKEN, token.as_bytes()).await
    }

    pub(crate) async fn seal_secret(&self, id: &str, secret: &str) -> Result<Sealed, SealError> {
        self.seal(id, SECRET, secret.as_bytes()).await
    }

    async fn seal(&self, id: &str, context: &str, clear: &[u8]) -> Result<Sealed, SealError> {
        let key_id = format!("courier-account-{id}");
        self.vault.seal(&key_id, context, clear).await.map(sealed_in)
    }
}
