//! Every courier update as it came: one row each, repeats too.

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::views::rows;
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_proto::common::v1::Sealed;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time::rfc3339;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::from_token;
use crate::domain::CourierKind;
use crate::domain::shipment::{Event, Recorded, Shipment};
use crate::wire::{SERVICE, sealed_out};

pub(crate) struct AwbStatusLogs;

#[async_trait]
impl View for AwbStatusLogs {
    fn name(&self) -> &'static str {
        "awb_status_logs"
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
        let mut rows = vec![];
        for heard in heard {
            if let Some(Event::TrackingRecorded { recorded, .. }) = heard.event::<Shipment>()? {
                rows.push([
                    heard.event_id.to_string().into(),
                    heard.aggregate.id.as_str().into(),
                    heard.position.0.into(),
                    heard.index.into(),
                    log_of(heard, &recorded).encode_to_vec().into(),
                    sealed_out(&recorded.update.raw).encode_to_vec().into(),
                ]);
            }
        }
        let into = "awb_status_logs (event_id, shipment_id, position, event_index, log, raw)";
        rows::insert(tx, into, "ON CONFLICT (event_id) DO NOTHING", rows).await?;
        Ok(())
    }
}

fn log_of(heard: &Heard, recorded: &Recorded) -> proto::AwbStatusLog {
    let update = &recorded.update;
    // An update that says nothing of its own leaves the parcel where it is.
    let status = update.reading.status().unwrap_or(recorded.tracking);
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let manual = update.kind == "MANUAL";
    let courier = if manual { CourierKind::Manual } else { CourierKind::Bosta };
    proto::AwbStatusLog {
        logged_at: rfc3339(update.learned_at_ms),
        occurred_at: rfc3339(update.occurred_at_ms),
        courier: courier.name().to_owned(),
        awb: update.awb.clone(),
        code: update.code.clone(),
        r#type: update.kind.clone(),
        status: status.name().to_owned(),
        description: text(&update.raw_word).unwrap_or_else(|| status.name().replace('_', " ")),
        exception_code: text(&update.exception_code),
        attempt: update.attempt,
        late: recorded.late,
        duplicate: recorded.duplicate,
        raw: None,
        exception_reason: text(&update.exception_reason),
        confirmed: update.confirmed,
        applied: recorded.applied,
        source: update.source.name().to_owned(),
        event_id: heard.event_id.to_string(),
        warning: text(&recorded.warning),
    }
}

/// One row: the log and the sealed body.
pub(crate) struct LogRow {
    pub(crate) log: proto::AwbStatusLog,
    pub(crate) raw: Sealed,
    place: (i64, i64),
}

/// A page of a shipment's updates, in the order they came, and the token of the next.
pub(crate) async fn list(
    pool: &Pool,
    shipment_id: &str,
    page: &Page,
) -> Result<(Vec<LogRow>, String), sqlx::Error> {
    let after = page.after.as_deref().unwrap_or_default();
    let from = page.after.is_some();
    let query = sqlx::query(
        "SELECT log, raw, position, event_index FROM awb_status_logs WHERE shipment_id = $1 AND \
         (position > $2 OR (position = $2 AND event_index > $3)) \
         ORDER BY position, event_index LIMIT $4",
    )
    .bind(shipment_id.to_owned())
    .bind(if from { from_token(after.first()) } else { -1 })
    .bind(if from { from_token(after.get(1)) } else { -1 })
    .bind(page.limit());
    let rows = query.fetch_all(pool).await?;
    let mut logs = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let token =
        page.cut(&mut logs, |row: &LogRow| vec![row.place.0.to_string(), row.place.1.to_string()]);
    Ok((logs, token))
}

fn read(row: &sqlx::any::AnyRow) -> Result<LogRow, sqlx::Error> {
    let bad = |error: prost::DecodeError| sqlx::Error::Decode(error.into());
    let (log, raw): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(LogRow {
        log: proto::AwbStatusLog::decode(log.as_slice()).map_err(bad)?,
        raw: Sealed::decode(raw.as_slice()).map_err(bad)?,
        place: (row.try_get(2)?, row.try_get(3)?),
    })
}
