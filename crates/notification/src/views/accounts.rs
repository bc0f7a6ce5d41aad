//! Channel accounts, as listed; of their secrets only the last four characters.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, Pool, View, ViewError, Views};
use nexus_proto::common::v1::Sealed;
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::domain::channel_account::{Amendment, ChannelAccount, Event, Opening};
use crate::domain::{ChannelKind, Mode};
use crate::wire::{SERVICE, sealed_to_proto};

pub(crate) struct Accounts;

#[async_trait]
impl View for Accounts {
    fn name(&self) -> &'static str {
        "channel_accounts"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard {
            let Some(event) = heard.event::<ChannelAccount>()? else { continue };
            let (id, at_ms) = (heard.aggregate.id.as_str(), heard.cause.occurred_at_ms);
            changes.add(key(id));
            changes.add(SENDERS);
            match event {
                Event::Opened(opening) => open(tx, id, at_ms, &opening).await?,
                Event::Amended(amendment) => amend(tx, id, at_ms, &amendment).await?,
                Event::CredentialsRotated(credentials, _) => {
                    sqlx::query(
                        "UPDATE channel_account SET credentials_last4 = $2, \
                         phone_number_id = $3, credentials = $4, rotations = rotations + 1, \
                         updated_at_ms = $5 WHERE account_id = $1",
                    )
                    .bind(id.to_owned())
                    .bind(credentials.last4)
                    .bind(credentials.phone_number_id)
                    .bind(sealed_to_proto(&credentials.sealed).encode_to_vec())
                    .bind(at_ms)
                    .execute(&mut *tx)
                    .await?;
                }
            }
        }
        Ok(())
    }
}

async fn open(
    tx: &mut AnyConnection,
    id: &str,
    at_ms: i64,
    opening: &Opening,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO channel_account (account_id, channel, name, mode, credentials_last4, \
         phone_number_id, webhook_token, credentials, rotations, enabled, created_at_ms, \
         updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 1, $9, $9) \
         ON CONFLICT (account_id) DO NOTHING",
    )
    .bind(id.to_owned())
    .bind(opening.channel.as_str().to_owned())
    .bind(opening.name.clone())
    .bind(opening.mode.as_str().to_owned())
    .bind(opening.credentials.last4.clone())
    .bind(opening.credentials.phone_number_id.clone())
    .bind(sealed_to_proto(&opening.webhook_token).encode_to_vec())
    .bind(sealed_to_proto(&opening.credentials.sealed).encode_to_vec())
    .bind(at_ms)
    .execute(tx)
    .await?;
    Ok(())
}

async fn amend(
    tx: &mut AnyConnection,
    id: &str,
    at_ms: i64,
    amendment: &Amendment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE channel_account SET name = COALESCE($2, name), mode = COALESCE($3, mode), \
         enabled = COALESCE($4, enabled), updated_at_ms = $5 WHERE account_id = $1",
    )
    .bind(id.to_owned())
    .bind(amendment.name.clone())
    .bind(amendment.mode.map(|mode| mode.as_str().to_owned()))
    .bind(amendment.enabled.map(i64::from))
    .bind(at_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// The key of the accounts that may send.
const SENDERS: &str = "channel_senders";

/// One account as listed.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) channel: String,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) credentials_last4: String,
    pub(crate) phone_number_id: String,
    pub(crate) webhook_token: Sealed,
    pub(crate) credentials: Sealed,
    /// Times the secrets were replaced: they are sealed as part of another event from then on.
    pub(crate) rotations: i64,
    pub(crate) enabled: bool,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
}

const COLUMNS: &str = "account_id, channel, name, mode, credentials_last4, phone_number_id, \
                       webhook_token, credentials, rotations, enabled, created_at_ms, \
                       updated_at_ms";

fn account(row: &AnyRow) -> Result<Account, sqlx::Error> {
    let sealed = |column: usize| {
        let bytes: Vec<u8> = row.try_get(column)?;
        Sealed::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(Box::new(error)))
    };
    Ok(Account {
        id: row.try_get(0)?,
        channel: row.try_get(1)?,
        name: row.try_get(2)?,
        mode: Mode::parse(row.try_get(3)?).ok_or_else(unknown_mode)?,
        credentials_last4: row.try_get(4)?,
        phone_number_id: row.try_get(5)?,
        webhook_token: sealed(6)?,
        credentials: sealed(7)?,
        rotations: row.try_get(8)?,
        enabled: row.try_get::<i64, _>(9)? != 0,
        created_at_ms: row.try_get(10)?,
        updated_at_ms: row.try_get(11)?,
    })
}

fn unknown_mode() -> sqlx::Error {
    sqlx::Error::Decode("the mode of an account is not known".into())
}

/// One account.
pub(crate) async fn get(views: &Views, id: &str) -> Result<Option<Account>, sqlx::Error> {
    let found = views.cached(&key(id), read(&views.pool(), id)).await?;
    Ok((*found).clone())
}

fn key(id: &str) -> String {
    format!("channel_account:{id}")
}

async fn read(pool: &Pool, id: &str) -> Result<Option<Account>, sqlx::Error> {
    let query = format!("SELECT {COLUMNS} FROM channel_account WHERE account_id = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id.to_owned());
    query.fetch_optional(pool).await?.as_ref().map(account).transpose()
}

/// Accounts after `after` (an id, empty for the first page), at most `limit`.
pub(crate) async fn list(
    pool: &Pool,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, sqlx::Error> {
    let query = format!(
        "SELECT {COLUMNS} FROM channel_account WHERE account_id > $1 ORDER BY account_id LIMIT $2"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(after.to_owned()).bind(limit);
    query.fetch_all(pool).await?.iter().map(account).collect()
}

/// The account that messages of `channel` go out from: the oldest that is enabled.
pub(crate) async fn sender(
    views: &Views,
    channel: ChannelKind,
) -> Result<Option<String>, sqlx::Error> {
    let enabled = views.cached(SENDERS, enabled(&views.pool())).await?;
    let oldest = enabled.iter().find(|(name, _)| name == channel.as_str());
    Ok(oldest.map(|(_, id)| id.clone()))
}

/// Channel and id of each account that may send, the oldest first.
async fn enabled(pool: &Pool) -> Result<Vec<(String, String)>, sqlx::Error> {
    let query = "SELECT channel, account_id FROM channel_account WHERE enabled = 1 \
                 ORDER BY created_at_ms, account_id";
    let rows = sqlx::query(query).fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
