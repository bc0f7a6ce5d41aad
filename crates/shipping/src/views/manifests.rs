//! Hand-over sessions as they are shown; what is missing from a load is asked when it is read.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, View, ViewError};
use nexus_proto::common::v1 as common;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::money::format_amount;
use nexus_runtime::page::Page;
use nexus_runtime::time::rfc3339;
use prost::Message;
use sqlx::{AnyConnection, AnyPool, Row};

use super::sql;
use crate::domain::manifest::{Event, Manifest, Parcel};
use crate::wire::SERVICE;

pub(crate) struct Manifests;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ManifestCard {
    #[prost(message, optional, tag = "1")]
    pub(crate) shown: Option<proto::Manifest>,
    #[prost(int64, tag = "2")]
    cod_total: i64,
    #[prost(int64, tag = "3")]
    created_ms: i64,
}

impl ManifestCard {
    /// The card after `event`, which happened at `at_ms`.
    pub(crate) fn take_in(&mut self, manifest_id: &str, at_ms: i64, event: &Event) {
        let shown = self.shown.get_or_insert_default();
        match event {
            Event::Opened { account, courier } => {
                self.created_ms = at_ms;
                manifest_id.clone_into(&mut shown.manifest_id);
                shown.courier_account_id = account.clone();
                courier.name().clone_into(&mut shown.courier);
                "open".clone_into(&mut shown.status);
                shown.created_at = rfc3339(at_ms);
            }
            Event::Scanned(parcel) => {
                self.cod_total += parcel.cod;
                shown.cod_total = Some(money(self.cod_total, &parcel.currency));
                shown.parcels.push(parcel_out(parcel));
            }
            Event::ScanRefused { tracking_number, misfit } => {
                shown.foreign.push(proto::ManifestForeign {
                    tracking_number: tracking_number.clone(),
                    reason: misfit.name().to_owned(),
                });
            }
            Event::Closed { at_ms, .. } => {
                "closed".clone_into(&mut shown.status);
                shown.closed_at = Some(rfc3339(*at_ms));
            }
        }
    }
}

fn parcel_out(parcel: &Parcel) -> proto::ManifestParcel {
    proto::ManifestParcel {
        shipment_id: parcel.shipment_id.clone(),
        tracking_number: parcel.tracking_number.clone(),
        order_number: parcel.order_number.clone(),
        cod: Some(money(parcel.cod, &parcel.currency)),
    }
}

fn money(amount: i64, currency: &str) -> common::Money {
    common::Money { amount: format_amount(amount, currency), currency: currency.to_owned() }
}

#[async_trait]
impl View for Manifests {
    fn name(&self) -> &'static str {
        "manifests"
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
            let Some(event) = heard.event::<Manifest>()? else { continue };
            let id = heard.aggregate.id.as_str();
            let row = sqlx::query(FIND).bind(id.to_owned()).fetch_optional(&mut *tx).await?;
            let mut card = row.map(|row| decoded(&row)).transpose()?.unwrap_or_default();
            card.take_in(id, heard.cause.learned_at_ms, &event);
            let status = card.shown.as_ref().map(|shown| shown.status.clone());
            sqlx::query(
                "INSERT INTO manifests (manifest_id, status, created_ms, card) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (manifest_id) DO UPDATE SET \
                 status = excluded.status, card = excluded.card",
            )
            .bind(id.to_owned())
            .bind(status.unwrap_or_default())
            .bind(card.created_ms)
            .bind(card.encode_to_vec())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

const FIND: &str = "SELECT card FROM manifests WHERE manifest_id = $1";

fn decoded(row: &sqlx::any::AnyRow) -> Result<ManifestCard, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(0)?;
    ManifestCard::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// One manifest.
pub(crate) async fn find(pool: &AnyPool, id: &str) -> Result<Option<ManifestCard>, sqlx::Error> {
    let row = sqlx::query(FIND).bind(id.to_owned()).fetch_optional(pool).await?;
    row.map(|row| decoded(&row)).transpose()
}

/// A page of manifests, the newest first, and the token of the next.
pub(crate) async fn list(
    pool: &AnyPool,
    status: &str,
    page: &Page,
) -> Result<(Vec<ManifestCard>, String), sqlx::Error> {
    let after = page.after.as_deref().unwrap_or_default();
    let query = sqlx::query(
        "SELECT card FROM manifests WHERE ($1 = '' OR status = $1) AND \
         (created_ms < $2 OR (created_ms = $2 AND manifest_id < $3)) \
         ORDER BY created_ms DESC, manifest_id DESC LIMIT $4",
    )
    .bind(status.to_owned())
    .bind(if page.after.is_some() { sql::from_token(after.first()) } else { i64::MAX })
    .bind(after.get(1).cloned().unwrap_or_default())
    .bind(page.limit());
    let rows = query.fetch_all(pool).await?;
    let mut cards = rows.iter().map(decoded).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut cards, |card: &ManifestCard| {
        let id = card.shown.as_ref().map(|shown| shown.manifest_id.clone());
        vec![card.created_ms.to_string(), id.unwrap_or_default()]
    });
    Ok((cards, token))
}
