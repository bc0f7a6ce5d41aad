//! What messages tell of a shipment that its milestones do not say: the tracking number.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, View, ViewError};
use nexus_proto::shipping::v1::ShipmentAwbIssued;
use sqlx::{AnyConnection, AnyPool, Row};

pub(crate) const SHIPPING: &str = "shipping";

pub(crate) struct Shipments;

#[async_trait]
impl View for Shipments {
    fn name(&self) -> &'static str {
        "shipments"
    }

    fn sources(&self) -> &[&'static str] {
        &[SHIPPING]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        _changes: &mut Changes,
    ) -> Result<(), ViewError> {
        for heard in heard.iter().filter(|h| h.event_type() == "shipment.AwbIssued") {
            let issued: ShipmentAwbIssued = super::message(heard)?;
            let number = Some(issued.tracking_number).filter(|number| !number.is_empty());
            sqlx::query(
                "INSERT INTO shipment (shipment_id, tracking_number, tracking_url) \
                 VALUES ($1, $2, $3) ON CONFLICT (shipment_id) DO UPDATE SET \
                 tracking_number = excluded.tracking_number, \
                 tracking_url = excluded.tracking_url",
            )
            .bind(heard.aggregate.id.clone())
            .bind(number.unwrap_or(issued.awb))
            .bind(issued.tracking_url)
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

/// Tracking number and page of a shipment; both empty before it has an AWB.
pub(crate) async fn tracking(
    pool: &AnyPool,
    shipment_id: &str,
) -> Result<(String, String), sqlx::Error> {
    let query = "SELECT tracking_number, tracking_url FROM shipment WHERE shipment_id = $1";
    let row = sqlx::query(query).bind(shipment_id.to_owned()).fetch_optional(pool).await?;
    row.map_or(Ok(Default::default()), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}
