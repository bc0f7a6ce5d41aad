//! Pick lists as they are walked: table `pick_lists`, a row each, and `pick_lines`, a row a line,
//! so that a scan writes one line and not a whole list.

mod fold;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::log::EventLog;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_es::{Heard, Version};
use nexus_proto::fulfillment::v1 as proto;
use nexus_runtime::page::Page;
use nexus_runtime::time;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::rows::Rows;
use super::{ReadError, history};
use crate::SERVICE;
use crate::domain::pick_list::PickList;

use fold::{Lines, fold, lines_of};

pub(crate) struct PickListsView;

/// The key that wakes those who wait for a pick list.
pub(crate) fn key(pick_list_id: &str) -> String {
    format!("pick_list:{pick_list_id}")
}

/// A list that a batch touches, with those of its lines that it needs.
#[derive(Default)]
struct Touched {
    list: proto::PickList,
    created_at_ms: i64,
    command_id: String,
    request_hash: String,
    /// Lines that were read or made, by id: place on the walk, and what is stored of them.
    known: BTreeMap<String, (i64, Vec<u8>)>,
    whole: bool,
}

#[async_trait]
impl View for PickListsView {
    fn name(&self) -> &'static str {
        "pick_lists"
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
        let mut touched = known(tx, heard).await?;
        for heard in heard {
            let Some(event) = heard.event::<PickList>()? else { continue };
            let id = heard.aggregate.id.as_str();
            let row = touched.entry(id.to_owned()).or_insert_with(|| Touched::new(heard));
            match lines_of(&event) {
                Lines::None => {}
                Lines::One(line_id) => row.fetch_line(tx, line_id).await?,
                Lines::All => row.fetch_all(tx).await?,
                Lines::New => row.whole = true,
            }
            fold(&mut row.list, &event, heard.cause.occurred_at_ms);
            if matches!(lines_of(&event), Lines::New) {
                row.number_lines();
            }
            changes.add(key(id));
        }
        save(tx, touched.into_values().collect()).await?;
        Ok(())
    }
}

/// The lists in `heard` that were made before this batch, without their lines.
async fn known(
    tx: &mut AnyConnection,
    heard: &[Heard],
) -> Result<BTreeMap<String, Touched>, ViewError> {
    let select = "SELECT body, created_at_ms, command_id, request_hash FROM pick_lists \
        WHERE pick_list_id IN (*)";
    let mut found = BTreeMap::new();
    for row in rows::fetch_in(tx, select, &[], super::begun::<PickList>(heard)).await? {
        let body: Vec<u8> = row.try_get(0)?;
        let list: proto::PickList = super::stored(&body)?;
        let touched = Touched {
            created_at_ms: row.try_get(1)?,
            command_id: row.try_get(2)?,
            request_hash: row.try_get(3)?,
            ..Touched::default()
        };
        found.insert(list.pick_list_id.clone(), Touched { list, ..touched });
    }
    Ok(found)
}

impl Touched {
    fn new(heard: &Heard) -> Self {
        let pick_list_id = heard.aggregate.id.clone();
        Self {
            list: proto::PickList { pick_list_id, ..Default::default() },
            created_at_ms: heard.cause.occurred_at_ms,
            command_id: heard.cause.command_id.to_string(),
            request_hash: hex::encode(&heard.cause.request_hash),
            ..Self::default()
        }
    }

    fn take_in(&mut self, line_id: String, place: i64, body: Vec<u8>) -> Result<(), ViewError> {
        if self.known.contains_key(&line_id) {
            return Ok(());
        }
        self.list.lines.push(super::stored(&body)?);
        self.known.insert(line_id, (place, body));
        Ok(())
    }

    /// Places are given once: they must not depend on which events share a batch.
    fn number_lines(&mut self) {
        for (place, line) in (0..).zip(&self.list.lines) {
            self.known.insert(line.line_id.clone(), (place, vec![]));
        }
    }

    async fn fetch_line(&mut self, tx: &mut AnyConnection, line_id: &str) -> Result<(), ViewError> {
        if self.whole || self.known.contains_key(line_id) {
            return Ok(());
        }
        let found = sqlx::query(
            "SELECT line_no, body FROM pick_lines WHERE pick_list_id = $1 AND line_id = $2",
        )
        .bind(self.list.pick_list_id.clone())
        .bind(line_id.to_owned())
        .fetch_optional(tx)
        .await?;
        if let Some(row) = found {
            self.take_in(line_id.to_owned(), row.try_get(0)?, row.try_get(1)?)?;
        }
        Ok(())
    }

    async fn fetch_all(&mut self, tx: &mut AnyConnection) -> Result<(), ViewError> {
        if self.whole {
            return Ok(());
        }
        let rows =
            sqlx::query("SELECT line_id, line_no, body FROM pick_lines WHERE pick_list_id = $1")
                .bind(self.list.pick_list_id.clone())
                .fetch_all(tx)
                .await?;
        for row in rows {
            self.take_in(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)?;
        }
        self.whole = true;
        Ok(())
    }
}

/// Writes the lists, and of their lines those that changed.
async fn save(tx: &mut AnyConnection, touched: Vec<Touched>) -> Result<(), sqlx::Error> {
    let (mut lists, mut changed) = (vec![], vec![]);
    for mut touched in touched {
        let lines = std::mem::take(&mut touched.list.lines);
        let present: BTreeSet<&str> = lines.iter().map(|line| line.line_id.as_str()).collect();
        let gone = touched.known.keys().filter(|id| !present.contains(id.as_str()));
        let gone = gone.map(|id| id.as_str().into()).collect();
        let id = Value::from(touched.list.pick_list_id.as_str());
        let delete = "DELETE FROM pick_lines WHERE pick_list_id = ? AND line_id IN (*)";
        rows::execute_in(tx, delete, std::slice::from_ref(&id), gone).await?;
        for line in &lines {
            let body = line.encode_to_vec();
            if let Some((place, stored)) = touched.known.get(&line.line_id)
                && *stored != body
            {
                let line_id = line.line_id.as_str().into();
                changed.push([id.clone(), line_id, (*place).into(), body.into()]);
            }
        }
        lists.push([
            id,
            touched.list.warehouse.as_str().into(),
            touched.list.status.as_str().into(),
            touched.list.picker().into(),
            touched.created_at_ms.into(),
            touched.command_id.into(),
            touched.request_hash.into(),
            touched.list.encode_to_vec().into(),
        ]);
    }
    let into = "pick_lists (pick_list_id, warehouse, status, picker, created_at_ms, command_id, \
        request_hash, body)";
    let conflict = "ON CONFLICT (pick_list_id) DO UPDATE SET status = excluded.status, \
        picker = excluded.picker, body = excluded.body";
    rows::insert(tx, into, conflict, lists).await?;
    let into = "pick_lines (pick_list_id, line_id, line_no, body)";
    let conflict = "ON CONFLICT (pick_list_id, line_id) DO UPDATE SET body = excluded.body";
    rows::insert(tx, into, conflict, changed).await
}

/// One pick list with its lines in walking order. Leases that ended by `now_ms` are not shown.
pub(crate) async fn get(
    pool: &Pool,
    id: &str,
    now_ms: i64,
) -> Result<Option<proto::PickList>, ReadError> {
    let Some(mut list) = header(pool, id).await? else { return Ok(None) };
    add_lines(pool, &mut list, now_ms).await?;
    Ok(Some(list))
}

/// One pick list without its lines.
pub(crate) async fn header(pool: &Pool, id: &str) -> Result<Option<proto::PickList>, ReadError> {
    let found = sqlx::query("SELECT body FROM pick_lists WHERE pick_list_id = $1")
        .bind(id.to_owned())
        .fetch_optional(pool)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let body: Vec<u8> = row.try_get(0)?;
    Ok(Some(proto::PickList::decode(body.as_slice())?))
}

async fn add_lines(pool: &Pool, list: &mut proto::PickList, now_ms: i64) -> Result<(), ReadError> {
    let rows = sqlx::query("SELECT body FROM pick_lines WHERE pick_list_id = $1 ORDER BY line_no")
        .bind(list.pick_list_id.clone())
        .fetch_all(pool)
        .await?;
    for row in rows {
        let body: Vec<u8> = row.try_get(0)?;
        list.lines.push(proto::PickLine::decode(body.as_slice())?);
    }
    hide_ended_leases(list, now_ms);
    Ok(())
}

fn hide_ended_leases(list: &mut proto::PickList, now_ms: i64) {
    let over = matches!(list.status.as_str(), "completed" | "cancelled");
    for line in &mut list.lines {
        let until = line.leased_until.as_deref().and_then(time::parse_rfc3339);
        let done = line.picked + line.short >= line.units;
        if over || done || until.is_none_or(|until| until <= now_ms) {
            line.leased_to = None;
            line.leased_until = None;
        }
    }
}

/// A pick list as it was at a version.
pub(crate) async fn past(
    log: &Arc<dyn EventLog>,
    id: &str,
    version: Version,
    now_ms: i64,
) -> Result<proto::PickList, ReadError> {
    let mut list = proto::PickList { pick_list_id: id.to_owned(), ..Default::default() };
    for (event, at_ms) in history::<PickList>(log, id, version).await? {
        fold(&mut list, &event, at_ms);
    }
    hide_ended_leases(&mut list, now_ms);
    Ok(list)
}

/// A page of pick lists, the newest first, and the token of the next page.
pub(crate) async fn list(
    pool: &Pool,
    asked: &proto::ListPickListsRequest,
    page: &Page,
    now_ms: i64,
) -> Result<(Vec<proto::PickList>, String), ReadError> {
    let rows = Rows::new("SELECT body, created_at_ms FROM pick_lists")
        .filter("status", &asked.status)
        .filter("picker", &asked.picker)
        .filter("warehouse", &asked.warehouse)
        .after(page.after.as_deref(), ("created_at_ms", "pick_list_id"), "<")
        .fetch(pool, "created_at_ms DESC, pick_list_id DESC", page.limit())
        .await?;
    let mut found = vec![];
    for row in rows {
        let body: Vec<u8> = row.try_get(0)?;
        let created_at_ms: i64 = row.try_get(1)?;
        found.push((created_at_ms, proto::PickList::decode(body.as_slice())?));
    }
    let next = page.cut(&mut found, |(at, list)| vec![at.to_string(), list.pick_list_id.clone()]);
    let mut lists = vec![];
    for (_, mut list) in found {
        add_lines(pool, &mut list, now_ms).await?;
        lists.push(list);
    }
    Ok((lists, next))
}

/// The lists that one request made: their ids, and the hash of the request.
pub(crate) async fn made_by(
    pool: &Pool,
    command_id: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT pick_list_id, request_hash FROM pick_lists WHERE command_id = $1 \
         ORDER BY warehouse",
    )
    .bind(command_id.to_owned())
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
