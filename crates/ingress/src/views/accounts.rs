//! Accounts that may post: courier accounts of shipping, channel accounts of notification. Tokens
//! and webhook secrets are known by their SHA-256, app secrets sealed.

use std::collections::HashMap;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, Pool, View, ViewError, Views};
use nexus_proto::common::v1::Sealed;
use nexus_proto::notification::v1::{ChannelAccountCredentialsRotated, ChannelAccountOpened};
use nexus_proto::shipping::v1::{CourierAccountAmended, CourierAccountOpened};
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::domain::inbox::Kind;

pub(crate) const SHIPPING: &str = "shipping";
pub(crate) const NOTIFICATION: &str = "notification";
/// What the secrets of a channel account are sealed as: first, and after a rotation.
const OPENED: &str = "channel_account.Opened.credentials";
const ROTATED: &str = "channel_account.CredentialsRotated.credentials";

/// The key of all accounts.
const ACCOUNTS: &str = "accounts";

pub(crate) struct Accounts;

#[async_trait]
impl View for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn sources(&self) -> &[&'static str] {
        &[SHIPPING, NOTIFICATION]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard {
            if heard.event_type().contains("_account.") {
                changes.add(ACCOUNTS);
            }
            let id = heard.aggregate.id.as_str();
            match (heard.service(), heard.event_type()) {
                (SHIPPING, "courier_account.Opened") => {
                    courier_opened(tx, id, decoded(heard)?).await?;
                }
                (SHIPPING, "courier_account.Amended") => {
                    courier_amended(tx, id, decoded(heard)?).await?;
                }
                (NOTIFICATION, "channel_account.Opened") => {
                    channel_opened(tx, id, decoded(heard)?).await?;
                }
                (NOTIFICATION, "channel_account.CredentialsRotated") => {
                    channel_rotated(tx, id, decoded(heard)?).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn decoded<M: Message + Default>(heard: &Heard) -> Result<M, ViewError> {
    M::decode(heard.payload.bytes.as_slice()).map_err(|error| ViewError::Event {
        event_type: heard.event_type().to_owned(),
        why: error.to_string(),
    })
}

async fn insert(
    tx: &mut AnyConnection,
    kind: Kind,
    id: &str,
    token_sha256: &[u8],
    secret: (&[u8], String),
    credentials: Vec<u8>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO account (kind, account_id, token_sha256, secret_sha256, header, \
         credentials, rotations, previous, previous_until_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 0) ON CONFLICT (kind, account_id) DO NOTHING",
    )
    .bind(kind.as_str().to_owned())
    .bind(id.to_owned())
    .bind(hex::encode(token_sha256))
    .bind(hex::encode(secret.0))
    .bind(secret.1.to_lowercase())
    .bind(credentials)
    .bind(Vec::<u8>::new())
    .execute(tx)
    .await?;
    Ok(())
}

async fn courier_opened(
    tx: &mut AnyConnection,
    id: &str,
    opened: CourierAccountOpened,
) -> Result<(), sqlx::Error> {
    let secret = (opened.webhook_secret_sha256.as_slice(), opened.webhook_header);
    insert(tx, Kind::Courier, id, &opened.webhook_token_sha256, secret, Vec::new()).await
}

async fn courier_amended(
    tx: &mut AnyConnection,
    id: &str,
    amended: CourierAccountAmended,
) -> Result<(), sqlx::Error> {
    let Some(header) = amended.webhook_header else { return Ok(()) };
    let query = "UPDATE account SET header = $3 WHERE kind = $1 AND account_id = $2";
    sqlx::query(query)
        .bind(Kind::Courier.as_str().to_owned())
        .bind(id.to_owned())
        .bind(header.to_lowercase())
        .execute(tx)
        .await?;
    Ok(())
}

async fn channel_opened(
    tx: &mut AnyConnection,
    id: &str,
    opened: ChannelAccountOpened,
) -> Result<(), sqlx::Error> {
    let credentials = opened.credentials.unwrap_or_default().encode_to_vec();
    let secret = (&[][..], String::new());
    insert(tx, Kind::Channel, id, &opened.webhook_token_sha256, secret, credentials).await
}

async fn channel_rotated(
    tx: &mut AnyConnection,
    id: &str,
    rotated: ChannelAccountCredentialsRotated,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE account SET previous = credentials, previous_until_ms = $4, credentials = $3, \
         rotations = rotations + 1 WHERE kind = $1 AND account_id = $2",
    )
    .bind(Kind::Channel.as_str().to_owned())
    .bind(id.to_owned())
    .bind(rotated.credentials.unwrap_or_default().encode_to_vec())
    .bind(rotated.previous_until_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// An account that may post.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    /// SHA-256 of the secret in the header; empty for a channel.
    pub(crate) secret_sha256: Vec<u8>,
    /// Lower-case name of the header that carries it.
    pub(crate) header: String,
    credentials: Vec<u8>,
    rotations: i64,
    previous: Vec<u8>,
    previous_until_ms: i64,
}

impl Account {
    /// The sealed secrets that are good at `now_ms`, newest first, each with what it is sealed as.
    pub(crate) fn secrets(&self, now_ms: i64) -> Vec<(Sealed, &'static str)> {
        let context = |rotations: i64| if rotations > 0 { ROTATED } else { OPENED };
        let former = (self.rotations > 0 && now_ms < self.previous_until_ms)
            .then_some((self.previous.as_slice(), context(self.rotations - 1)));
        let current = Some((self.credentials.as_slice(), context(self.rotations)));
        let all = [current, former].into_iter().flatten();
        all.filter_map(|(bytes, context)| Some((Sealed::decode(bytes).ok()?, context))).collect()
    }
}

/// Accounts by kind and the SHA-256 of their token, in hex.
type ByToken = HashMap<(String, String), Account>;

/// The account of `kind` whose token has this SHA-256. Each webhook asks for one; there are few.
pub(crate) async fn by_token(
    views: &Views,
    kind: Kind,
    token_sha256: &[u8],
) -> Result<Option<Account>, sqlx::Error> {
    let all = views.cached(ACCOUNTS, all(&views.pool())).await?;
    Ok(all.get(&(kind.as_str().to_owned(), hex::encode(token_sha256))).cloned())
}

async fn all(pool: &Pool) -> Result<ByToken, sqlx::Error> {
    let query = "SELECT account_id, secret_sha256, header, credentials, rotations, previous, \
                 previous_until_ms, kind, token_sha256 FROM account";
    sqlx::query(query).fetch_all(pool).await?.iter().map(account).collect()
}

fn account(row: &AnyRow) -> Result<((String, String), Account), sqlx::Error> {
    let account = Account {
        id: row.try_get(0)?,
        secret_sha256: hex::decode(row.try_get::<String, _>(1)?)
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        header: row.try_get(2)?,
        credentials: row.try_get(3)?,
        rotations: row.try_get(4)?,
        previous: row.try_get(5)?,
        previous_until_ms: row.try_get(6)?,
    };
    Ok(((row.try_get(7)?, row.try_get(8)?), account))
}
