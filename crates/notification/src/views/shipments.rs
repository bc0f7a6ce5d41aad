//! What messages need to know of a shipment beside its milestones: the tracking number, and whether
//! it is still on its way to the customer.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::{Changes, Pool, View, ViewError, rows};
use nexus_proto::shipping::v1::{ShipmentAwbIssued, ShipmentTrackingRecorded};
use sqlx::{AnyConnection, Row};

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
        let mut news: BTreeMap<&str, News> = BTreeMap::new();
        for heard in heard {
            let left_course = match heard.event_type() {
                "shipment.AwbIssued" => {
                    let issued: ShipmentAwbIssued = super::message(heard)?;
                    let number = Some(issued.tracking_number).filter(|number| !number.is_empty());
                    let tracking = (number.unwrap_or(issued.awb), issued.tracking_url);
                    let of = news.entry(&heard.aggregate.id).or_default();
                    *of = News { tracking: Some(tracking), off_course: String::new() };
                    continue;
                }
                "shipment.TrackingRecorded" => {
                    let recorded: ShipmentTrackingRecorded = super::message(heard)?;
                    let status = recorded.tracking_status;
                    Some(status)
                        .filter(|status| recorded.applied && OFF_COURSE.contains(&status.as_str()))
                }
                "shipment.Voided" => Some("cancelled".to_owned()),
                _ => None,
            };
            if let Some(status) = left_course {
                news.entry(&heard.aggregate.id).or_default().off_course = status;
            }
        }
        write(tx, news).await?;
        Ok(())
    }
}

/// What a batch tells of a shipment.
#[derive(Default)]
struct News {
    /// Its tracking number and page, when an AWB was issued.
    tracking: Option<(String, String)>,
    off_course: String,
}

async fn write(tx: &mut AnyConnection, news: BTreeMap<&str, News>) -> Result<(), sqlx::Error> {
    let (mut issued, mut left) = (vec![], vec![]);
    for (id, News { tracking, off_course }) in news {
        match tracking {
            Some((number, url)) => {
                issued.push([id.into(), number.into(), url.into(), off_course.into()]);
            }
            None => left.push([id.into(), "".into(), "".into(), off_course.into()]),
        }
    }
    let into = "shipment (shipment_id, tracking_number, tracking_url, off_course)";
    let conflict = "ON CONFLICT (shipment_id) DO UPDATE SET off_course = excluded.off_course";
    rows::insert(tx, into, conflict, left).await?;
    let whole = "ON CONFLICT (shipment_id) DO UPDATE SET off_course = excluded.off_course, \
        tracking_number = excluded.tracking_number, tracking_url = excluded.tracking_url";
    rows::insert(tx, into, whole, issued).await
}

/// The status by which a shipment is no longer on its way to the customer, if it is not.
pub(crate) async fn off_course(
    pool: &Pool,
    shipment_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    let query = "SELECT off_course FROM shipment WHERE shipment_id = $1 AND off_course <> ''";
    let row = sqlx::query(query).bind(shipment_id.to_owned()).fetch_optional(pool).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Tracking number and page of a shipment; both empty before it has an AWB.
pub(crate) async fn tracking(
    pool: &Pool,
    shipment_id: &str,
) -> Result<(String, String), sqlx::Error> {
    let query = "SELECT tracking_number, tracking_url FROM shipment WHERE shipment_id = $1";
    let row = sqlx::query(query).bind(shipment_id.to_owned()).fetch_optional(pool).await?;
    row.map_or(Ok(Default::default()), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}
