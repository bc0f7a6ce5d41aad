//! View files that differ from the logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexus_es::EventLog;
use nexus_proto::common::v1::Commit;
use nexus_verify::{Invariant, Live, Report, SERVICES, ViewsOf, verify_views};
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
    ViewsOf { service: "shipping", live: Live::Files(PathBuf::new()), build: Box::new(build) }
}

async fn verified(of: ViewsOf, rows: impl FnOnce(Vec<Uuid>) -> Vec<Uuid>) -> Report {
    let log = good().stored().await;
    let dir = tempfile::tempdir().unwrap();
    shipping_file(dir.path(), &log, &rows(updates(&log))).await;
    let of = ViewsOf { live: Live::Files(dir.path().to_owned()), ..of };
    verify_views(Arc::new(log), &SERVICES, &[of]).await.unwrap()
}

/// Views that lie elsewhere, of which there is this to say.
fn elsewhere(said: Result<bool, &'static str>) -> ViewsOf {
    let copy = move |_: PathBuf| -> futures::future::BoxFuture<'static, Result<bool, String>> {
        Box::pin(async move { said.map_err(str::to_owned) })
    };
    ViewsOf { live: Live::Elsewhere(Box::new(copy)), ..build("same", "same") }
}

#[tokio::test]
async fn views_that_are_not_there_or_out_of_reach_are_named_and_no_violation() {
    for (said, told) in [
        (Ok(false), "not looked at: shipping (no view database is there)"),
        (Err("nobody answers"), "not looked at: shipping (nobody answers)"),
    ] {
        let log = Arc::new(good().stored().await);
        let report = verify_views(log, &SERVICES, &[elsewhere(said)]).await.unwrap();
        assert!(report.is_green(), "{report}");
        assert_eq!(report.get(Invariant::I29).unwrap().note, told);
        assert_eq!(report.get(Invariant::I29).unwrap().checked, 0);
    }
}

#[tokio::test]
async fn views_that_lie_elsewhere_are_judged_by_their_copy() {
    let log = Arc::new(good().stored().await);
    let source = Arc::clone(&log);
    let copy = move |dir: PathBuf| -> futures::future::BoxFuture<'static, Result<bool, String>> {
        let log = Arc::clone(&source);
        Box::pin(async move {
            std::fs::create_dir_all(&dir).unwrap();
            shipping_file(&dir, &*log, &updates(&log)).await;
            Ok(true)
        })
    };
    let of = ViewsOf { live: Live::Elsewhere(Box::new(copy)), ..build("old", "new") };
    let report = verify_views(log, &SERVICES, &[of]).await.unwrap();
    assert!(report.get(Invariant::I29).unwrap().first.is_some(), "{report}");
    let logged = report.get(Invariant::I23).unwrap();
    assert!(logged.first.is_none() && logged.checked > 0, "{report}");
}

#[tokio::test]
async fn equal_views_and_a_row_for_each_update_are_green() {
    let report = verified(build("same", "same"), |all| all).await;
    assert!(report.is_green(), "{report}");
    assert!(report.checks().all(|check| check.checked > 0), "{report}");
}

#[tokio::test]
async fn views_that_differ_when_built_anew_are_found() {
    let report = verified(build("old", "new"), |all| all).await;
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
    let same = || build("same", "same");
    let reports = [
        verified(same(), missing).await,
        verified(same(), doubled).await,
        verified(same(), foreign).await,
    ];
    for report in reports {
        assert!(report.get(Invariant::I23).unwrap().first.is_some(), "{report}");
    }
}
