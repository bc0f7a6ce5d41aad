//! Courier accounts as they are shown.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_proto::common::v1 as common;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time::rfc3339;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::from_token;
use crate::domain::courier_account::{CourierAccount, Event};
use crate::wire::{SERVICE, sealed_out};

pub(crate) struct Accounts;

/// What is shown of an account, and the sealed token that its webhook's address needs.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AccountCard {
    #[prost(message, optional, tag = "1")]
    pub(crate) shown: Option<proto::CourierAccount>,
    #[prost(message, optional, tag = "2")]
    pub(crate) webhook_token: Option<common::Sealed>,
    #[prost(int64, tag = "3")]
    created_ms: i64,
}

impl AccountCard {
    /// The card after `event`, which happened at `at_ms`.
    pub(crate) fn take_in(&mut self, account_id: &str, at_ms: i64, event: &Event) {
        let shown = self.shown.get_or_insert_default();
        shown.updated_at = rfc3339(at_ms);
        match event {
            Event::Opened(opening) => {
                self.created_ms = at_ms;
                self.webhook_token = Some(sealed_out(&opening.webhook.token));
                account_id.clone_into(&mut shown.courier_account_id);
                opening.courier.name().clone_into(&mut shown.courier);
                shown.name = opening.name.clone();
                opening.mode.name().clone_into(&mut shown.mode);
                shown.credentials_last4 = opening.credentials.last4.clone();
                shown.pickup_location = not_empty(&opening.pickup_location);
                shown.webhook_header = opening.webhook.header.clone();
                shown.created_at = rfc3339(at_ms);
            }
            Event::Amended(amendment) => {
                if let Some(name) = &amendment.name {
                    shown.name = name.clone();
                }
                if let Some(mode) = amendment.mode {
                    mode.name().clone_into(&mut shown.mode);
                }
                if let Some(place) = &amendment.pickup_location {
                    shown.pickup_location = not_empty(place);
                }
                if let Some(header) = &amendment.webhook_header {
                    shown.webhook_header = header.clone();
                }
            }
            Event::CredentialsRotated(credentials) => {
                shown.credentials_last4 = credentials.last4.clone();
            }
        }
    }
}

fn not_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

#[async_trait]
impl View for Accounts {
    fn name(&self) -> &'static str {
        "courier_accounts"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        _: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard {
            let Some(event) = heard.event::<CourierAccount>()? else { continue };
            let id = heard.aggregate.id.as_str();
            let mut card = find_in(tx, id).await?.unwrap_or_default();
            card.take_in(id, heard.cause.learned_at_ms, &event);
            let courier = card.shown.as_ref().map(|shown| shown.courier.clone());
            sqlx::query(
                "INSERT INTO courier_accounts (account_id, courier, created_ms, card) \
                 VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (account_id) DO UPDATE SET card = excluded.card",
            )
            .bind(id.to_owned())
            .bind(courier.unwrap_or_default())
            .bind(card.created_ms)
            .bind(card.encode_to_vec())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

const FIND: &str = "SELECT card FROM courier_accounts WHERE account_id = $1";

async fn find_in(tx: &mut AnyConnection, id: &str) -> Result<Option<AccountCard>, sqlx::Error> {
    let row = sqlx::query(FIND).bind(id.to_owned()).fetch_optional(tx).await?;
    row.map(|row| decoded(&row)).transpose()
}

fn decoded(row: &sqlx::any::AnyRow) -> Result<AccountCard, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(0)?;
    AccountCard::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// One account.
pub(crate) async fn find(pool: &Pool, id: &str) -> Result<Option<AccountCard>, sqlx::Error> {
    let row = sqlx::query(FIND).bind(id.to_owned()).fetch_optional(pool).await?;
    row.map(|row| decoded(&row)).transpose()
}

/// A page of accounts, the oldest first, and the token of the next.
pub(crate) async fn list(
    pool: &Pool,
    courier: &str,
    page: &Page,
) -> Result<(Vec<AccountCard>, String), sqlx::Error> {
    let after = page.after.as_deref().unwrap_or_default();
    let query = sqlx::query(
        "SELECT card FROM courier_accounts WHERE ($1 = '' OR courier = $1) AND \
         (created_ms > $2 OR (created_ms = $2 AND account_id > $3)) \
         ORDER BY created_ms, account_id LIMIT $4",
    )
    .bind(courier.to_owned())
    .bind(if page.after.is_some() { from_token(after.first()) } else { -1 })
    .bind(after.get(1).cloned().unwrap_or_default())
    .bind(page.limit());
    let rows = query.fetch_all(pool).await?;
    let mut cards = rows.iter().map(decoded).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut cards, |card: &AccountCard| {
        let id = card.shown.as_ref().map(|shown| shown.courier_account_id.clone());
        vec![card.created_ms.to_string(), id.unwrap_or_default()]
    });
    Ok((cards, token))
}
