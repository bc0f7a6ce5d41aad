//! What messages need to know of a shipment beside its milestones: the tracking number, and whether
//! it is still on its way to the customer.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, View, ViewError};
use nexus_proto::shipping::v1::{ShipmentAwbIssued, ShipmentTrackingRecorded};
use sqlx::{AnyConnection, AnyPool, Row};

pub(crate) const SHIPPING: &str = "shipping";

/// Tracking statuses after which nothing good is left to tell.
const OFF_COURSE: [&str; 5] = ["returning", "returned", "lost", "damaged", "cancelled"];

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
        for heard in heard {
            match heard.event_type() {
                "shipment.AwbIssued" => issued(tx, heard).await?,
                "shipment.TrackingRecorded" => {
                    let recorded: ShipmentTrackingRecorded = super::message(heard)?;
                    let status = recorded.tracking_status;
                    if recorded.applied && OFF_COURSE.contains(&status.as_str()) {
                        left_course(tx, heard, status).await?;
                    }
                }
                "shipment.Voided" => left_course(tx, heard, "cancelled".to_owned()).await?,
                _ => {}
            }
        }
        Ok(())
    }
}

async fn issued(tx: &mut AnyConnection, heard: &Heard) -> Result<(), ViewError> {
    let issued: ShipmentAwbIssued = super::message(heard)?;
    let number = Some(issued.tracking_number).filter(|number| !number.is_empty());
    sqlx::query(
        "INSERT INTO shipment (shipment_id, tracking_number, tracking_url, off_course) \
         VALUES ($1, $2, $3, '') ON CONFLICT (shipment_id) DO UPDATE SET \
         tracking_number = excluded.tracking_number, tracking_url = excluded.tracking_url, \
         off_course = ''",
    )
    .bind(heard.aggregate.id.clone())
    .bind(number.unwrap_or(issued.awb))
    .bind(issued.tracking_url)
    .execute(tx)
    .await?;
    Ok(())
}

async fn left_course(
    tx: &mut AnyConnection,
    heard: &Heard,
    status: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO shipment (shipment_id, tracking_number, tracking_url, off_course) \
         VALUES ($1, '', '', $2) ON CONFLICT (shipment_id) DO UPDATE SET \
         off_course = excluded.off_course",
    )
    .bind(heard.aggregate.id.clone())
    .bind(status)
    .execute(tx)
    .await?;
    Ok(())
}

/// The status by which a shipment is no longer on its way to the customer, if it is not.
pub(crate) async fn off_course(
    pool: &AnyPool,
    shipment_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    let query = "SELECT off_course FROM shipment WHERE shipment_id = $1 AND off_course <> ''";
    let row = sqlx::query(query).bind(shipment_id.to_owned()).fetch_optional(pool).await?;
    row.map(|row| row.try_get(0)).transpose()
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
