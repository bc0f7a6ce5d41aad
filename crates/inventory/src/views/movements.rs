//! The movements of a SKU: each event of a ledger, as lines that a person reads.

use nexus_es::heard::Heard;
use nexus_es::views::Pool;
use nexus_es::views::rows::{self, Value};
use nexus_proto::inventory::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::domain::stock_ledger::{Event, Missing};
use crate::domain::{BinUnits, SkuUnits};

const COLUMNS: &str = "sku, position, event_index, nth, warehouse, at_ms, kind, units, bin, \
                       to_bin, lot, order_id, reason, receipt, event_id";

/// One row of the table `movements`, without what all rows of its event share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    sku: String,
    kind: &'static str,
    units: i64,
    bin: String,
    to_bin: String,
    lot: String,
    order_id: String,
    reason: String,
    receipt: String,
}

/// A row, and its place in the log.
pub(super) struct Movement {
    line: Line,
    nth: i64,
    warehouse: String,
    position: i64,
    event_index: i64,
    at_ms: i64,
    event_id: String,
}

/// The movements that an event is.
pub(super) fn of(heard: &Heard, event: &Event) -> impl Iterator<Item = Movement> {
    let (warehouse, event_id) = (heard.aggregate.id.clone(), heard.event_id.to_string());
    let position = i64::try_from(heard.position.0).unwrap_or(i64::MAX);
    let (event_index, at_ms) = (i64::from(heard.index), heard.cause.occurred_at_ms);
    lines(event).into_iter().zip(0..).map(move |(line, nth)| Movement {
        line,
        nth,
        warehouse: warehouse.clone(),
        position,
        event_index,
        at_ms,
        event_id: event_id.clone(),
    })
}

fn lines(event: &Event) -> Vec<Line> {
    match event {
        Event::Received { receipt, lines } => {
            let like = Line { receipt: receipt.to_string(), ..kind("received") };
            in_bins(&like, lines)
        }
        Event::Adjusted { sku, bin, lot, delta, reason } => vec![Line {
            sku: sku.to_string(),
            units: *delta,
            bin: bin.to_string(),
            lot: lot.to_string(),
            reason: reason.clone(),
            ..kind("adjusted")
        }],
        Event::Moved { sku, from, to, lot, units } => vec![Line {
            sku: sku.to_string(),
            units: i64::from(*units),
            bin: from.to_string(),
            to_bin: to.to_string(),
            lot: lot.to_string(),
            ..kind("moved")
        }],
        Event::Reserved { order, lines, .. } => {
            let like = Line { order_id: order.to_string(), ..kind("reserved") };
            of_skus(&like, lines)
        }
        Event::Released { order, lines, reason, .. } => {
            let (order_id, reason) = (order.to_string(), reason.clone());
            of_skus(&Line { order_id, reason, ..kind("released") }, lines)
        }
        Event::ReleasedUnseen { .. } => Vec::new(),
        Event::BinsAllocated { order, lines, .. } => {
            in_bins(&Line { order_id: order.to_string(), ..kind("allocated") }, lines)
        }
        Event::BinsReallocated { order, taken, .. } => {
            let reason = "its units are no longer where they were".to_owned();
            in_bins(&Line { order_id: order.to_string(), reason, ..kind("allocated") }, taken)
        }
        Event::Picked { order, lines, .. } => {
            in_bins(&Line { order_id: order.to_string(), ..kind("picked") }, lines)
        }
        Event::ShortPicked { order, lines, missing, .. } => {
            short(order.to_string(), lines, missing)
        }
        Event::Unpicked { order, lines, reason, .. } => {
            let (order_id, reason) = (order.to_string(), reason.clone());
            in_bins(&Line { order_id, reason, ..kind("unpicked") }, lines)
        }
        Event::Shipped { order, lines, .. } => {
            let line = |line: &crate::domain::stock_ledger::LotUnits| Line {
                sku: line.sku.to_string(),
                units: i64::from(line.units),
                lot: line.lot.to_string(),
                order_id: order.to_string(),
                ..kind("shipped")
            };
            lines.iter().map(line).collect()
        }
        Event::TakenBack { order, lines, .. } => {
            in_bins(&Line { order_id: order.to_string(), ..kind("taken_back") }, lines)
        }
        Event::PromiseBroken { order, sku, units, reason, .. } => vec![Line {
            sku: sku.to_string(),
            units: i64::from(*units),
            order_id: order.to_string(),
            reason: reason.clone(),
            ..kind("promise_broken")
        }],
    }
}

/// What was not found is given back, and its bin is short.
fn short(order_id: String, lines: &[SkuUnits], missing: &[Missing]) -> Vec<Line> {
    let reason = "not found by the picker".to_owned();
    let like = Line { order_id, reason, ..kind("released") };
    let found_short = missing.iter().flat_map(|missing| {
        let reason = missing.reason.clone();
        let like = Line { kind: "found_short", reason, ..like.clone() };
        in_bins(&like, std::slice::from_ref(&missing.at))
    });
    of_skus(&like, lines).into_iter().chain(found_short).collect()
}

fn kind(kind: &'static str) -> Line {
    Line { kind, ..Line::default() }
}

fn in_bins(like: &Line, lines: &[BinUnits]) -> Vec<Line> {
    let line = |line: &BinUnits| Line {
        sku: line.sku.to_string(),
        bin: line.bin.to_string(),
        lot: line.lot.to_string(),
        units: i64::from(line.units),
        ..like.clone()
    };
    lines.iter().map(line).collect()
}

fn of_skus(like: &Line, lines: &[SkuUnits]) -> Vec<Line> {
    let line = |line: &SkuUnits| Line {
        sku: line.sku.to_string(),
        units: i64::from(line.units),
        ..like.clone()
    };
    lines.iter().map(line).collect()
}

/// Writes a batch.
pub(super) async fn write(
    tx: &mut AnyConnection,
    movements: Vec<Movement>,
) -> Result<(), sqlx::Error> {
    let row = |Movement { line, nth, warehouse, position, event_index, at_ms, event_id }| {
        [
            Value::from(line.sku),
            position.into(),
            event_index.into(),
            nth.into(),
            warehouse.into(),
            at_ms.into(),
            line.kind.into(),
            line.units.into(),
            line.bin.into(),
            line.to_bin.into(),
            line.lot.into(),
            line.order_id.into(),
            line.reason.into(),
            line.receipt.into(),
            event_id.into(),
        ]
    };
    let rows = movements.into_iter().map(row).collect();
    let nothing = "ON CONFLICT (sku, position, event_index, nth) DO NOTHING";
    rows::insert(tx, &format!("movements ({COLUMNS})"), nothing, rows).await
}

/// A page of a SKU's movements, the newest first; of one warehouse or order when said.
pub(crate) async fn list(
    pool: &Pool,
    (sku, warehouse, order_id): (&str, &str, &str),
    page: &Page,
) -> Result<(Vec<proto::Movement>, String), sqlx::Error> {
    let mut after = page.after.iter().flatten().map(|text| text.parse().unwrap_or(i64::MAX));
    let mut before = || after.next().unwrap_or(i64::MAX);
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM movements WHERE sku = $1 AND ($2 = '' OR warehouse = $2) \
         AND ($3 = '' OR order_id = $3) AND (position < $4 OR (position = $4 AND \
         (event_index < $5 OR (event_index = $5 AND nth < $6)))) \
         ORDER BY position DESC, event_index DESC, nth DESC LIMIT $7"
    )))
    .bind(sku.to_owned())
    .bind(warehouse.to_owned())
    .bind(order_id.to_owned())
    .bind(before())
    .bind(before())
    .bind(before())
    .bind(page.limit())
    .fetch_all(pool)
    .await?;
    let mut movements = rows.iter().map(movement).collect::<Result<Vec<_>, _>>()?;
    let token = page.cut(&mut movements, |(key, _)| key.clone());
    Ok((movements.into_iter().map(|(_, movement)| movement).collect(), token))
}

fn movement(row: &AnyRow) -> Result<(Vec<String>, proto::Movement), sqlx::Error> {
    let number = |column: usize| row.try_get::<i64, _>(column);
    let said = |column: usize| {
        let text: String = row.try_get(column)?;
        Ok::<_, sqlx::Error>(Some(text).filter(|text| !text.is_empty()))
    };
    let key = [number(1)?, number(2)?, number(3)?].map(|part| part.to_string()).to_vec();
    let movement = proto::Movement {
        at: time::rfc3339(number(5)?),
        kind: row.try_get(6)?,
        units: i32::try_from(number(7)?).unwrap_or_default(),
        bin: said(8)?,
        order_id: said(11)?,
        reason: said(12)?,
        event_id: row.try_get(14)?,
        warehouse: row.try_get(4)?,
        to_bin: said(9)?,
        lot: said(10)?,
        receipt: said(13)?,
    };
    Ok((key, movement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjustment_keeps_its_sign_and_reason() {
        let event = Event::Adjusted {
            sku: "MUG".into(),
            bin: "A".into(),
            lot: "".into(),
            delta: -2,
            reason: "broken".into(),
        };
        let [line] = lines(&event).try_into().unwrap();
        assert_eq!((line.kind, line.units, line.reason.as_str()), ("adjusted", -2, "broken"));
    }
}
