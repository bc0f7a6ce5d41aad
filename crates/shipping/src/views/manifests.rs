//! Hand-over sessions as they are shown; what is missing from a load is asked when it is read.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_proto::common::v1 as common;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::money::format_amount;
use nexus_runtime::page::Page;
use nexus_runtime::time::rfc3339;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::from_token;
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
        let mut news = vec![];
        for heard in heard {
            news.extend(heard.event::<Manifest>()?.map(|event| (heard, event)));
        }
        let mut cards = cards_of(tx, &news).await?;
        for (heard, event) in &news {
            let id = heard.aggregate.id.as_str();
            let card: &mut ManifestCard = cards.entry(id.to_owned()).or_default();
            card.take_in(id, heard.cause.learned_at_ms, event);
        }
        let row = |(id, card): (String, ManifestCard)| {
            let bytes = card.encode_to_vec();
            let status = card.shown.map(|shown| shown.status).unwrap_or_default();
            [id.into(), status.into(), card.created_ms.into(), bytes.into()]
        };
        let rows = cards.into_iter().map(row).collect();
        let into = "manifests (manifest_id, status, created_ms, card)";
        let conflict = "ON CONFLICT (manifest_id) DO UPDATE SET status = excluded.status, \
            card = excluded.card";
        rows::insert(tx, into, conflict, rows).await?;
        Ok(())
    }
}

/// The manifests that `news` goes on with.
async fn cards_of(
    tx: &mut AnyConnection,
    news: &[(&Heard, Event)],
) -> Result<BTreeMap<String, ManifestCard>, sqlx::Error> {
    let ids: BTreeSet<_> = news.iter().map(|(heard, _)| heard.aggregate.id.as_str()).collect();
    let ids = ids.into_iter().map(Value::from).collect();
    let select = "SELECT card, manifest_id FROM manifests WHERE manifest_id IN (*)";
    let rows = rows::fetch_in(tx, select, &[], ids).await?;
    rows.iter().map(|row| Ok((row.try_get(1)?, decoded(row)?))).collect()
}

const FIND: &str = "SELECT card FROM manifests WHERE manifest_id = $1";

fn decoded(row: &sqlx::any::AnyRow) -> Result<ManifestCard, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(0)?;
    ManifestCard::decode(bytes.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// One manifest.
pub(crate) async fn find(pool: &Pool, id: &str) -> Result<Option<ManifestCard>, sqlx::Error> {
    let row = sqlx::query(FIND).bind(id.to_owned()).fetch_optional(pool).await?;
    row.map(|row| decoded(&row)).transpose()
}

/// A page of manifests, the newest first, and the token of the next.
pub(crate) async fn list(
    pool: &Pool,
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
    .bind(if page.after.is_some() { from_token(after.first()) } else { i64::MAX })
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
