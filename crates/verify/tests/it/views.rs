//! View files that differ from the logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexus_es::EventLog;
use nexus_proto::common::v1::Commit;
use nexus_verify::{Invariant, Report, SERVICES, ViewsOf, verify_views};
use prost::Message;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use crate::good::good;

const TABLES: &str = "
CREATE TABLE view_checkpoints (service TEXT PRIMARY KEY, position BIGINT NOT NULL);
CREATE TABLE view_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE awb_status_logs (event_id TEXT NOT NULL);
INSERT INTO view_meta VALUES ('complete', 'yes');
";

/// A file of shipping's views that has these rows and has read everything.
async fn shipping_file(dir: &Path, log: &dyn EventLog, rows: &[Uuid]) {
    let file = dir.join("shipping-v1-2.db");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    for statement in TABLES.split(';').filter(|statement| !statement.trim().is_empty()) {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let head = i64::try_from(log.head("shipping").await.unwrap().0).unwrap();
    sqlx::query("INSERT INTO view_checkpoints VALUES ('shipping', $1)")
        .bind(head)
        .execute(&mut connection)
        .await
        .unwrap();
    for row in rows {
        sqlx::query("INSERT INTO awb_status_logs VALUES ($1)")
            .bind(row.to_string())
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

fn updates(log: &nexus_es::memory::MemoryLog) -> Vec<Uuid> {
    let commits = log.commits("shipping").into_iter();
    let events = commits.flat_map(|stored| Commit::decode(&*stored.bytes).unwrap().entries);
    let updates = events
        .flat_map(|entry| entry.events)
        .filter(|event| event.r#type == "shipment.TrackingRecorded");
    updates.map(|event| Uuid::from_slice(&event.event_id).unwrap()).collect()
}

/// The digest of views that are a file's length in the live case, and `fresh` when built anew.
fn build(live: &'static str, fresh: &'static str) -> ViewsOf {
    let build = move |dir: PathBuf| -> futures::future::BoxFuture<'static, Result<String, String>> {
        let has_file = std::fs::read_dir(&dir).unwrap().count() > 0;
        Box::pin(async move { Ok(if has_file { live } else { fresh }.to_owned()) })
    };
    ViewsOf { service: "shipping", build: Box::new(build) }
}

async fn verified(views: &[ViewsOf], rows: impl FnOnce(Vec<Uuid>) -> Vec<Uuid>) -> Report {
    let log = good().stored().await;
    let dir = tempfile::tempdir().unwrap();
    shipping_file(dir.path(), &log, &rows(updates(&log))).await;
    verify_views(Arc::new(log), &SERVICES, dir.path(), views).await.unwrap()
}

#[tokio::test]
async fn equal_views_and_a_row_for_each_update_are_green() {
    let report = verified(&[build("same", "same")], |all| all).await;
    assert!(report.is_green(), "{report}");
    assert!(report.checks().all(|check| check.checked > 0), "{report}");
}

#[tokio::test]
async fn views_that_differ_when_built_anew_are_found() {
    let report = verified(&[build("old", "new")], |all| all).await;
    assert!(report.get(Invariant::I29).unwrap().first.is_some(), "{report}");
    assert!(report.get(Invariant::I23).unwrap().first.is_none(), "{report}");
}

#[tokio::test]
async fn a_missing_a_doubled_and_a_foreign_row_are_found() {
    let missing = |mut all: Vec<Uuid>| {
        all.pop();
        all
    };
    let doubled = |all: Vec<Uuid>| [all.clone(), all].concat();
    let foreign = |mut all: Vec<Uuid>| {
        all.push(Uuid::from_u128(99_999));
        all
    };
    let reports =
        [verified(&[], missing).await, verified(&[], doubled).await, verified(&[], foreign).await];
    for report in reports {
        assert!(report.get(Invariant::I23).unwrap().first.is_some(), "{report}");
    }
}
