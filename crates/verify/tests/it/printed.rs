//! Events as JSON lines, and a log that another process writes.

use nexus_es_sqlite::SqliteStore;
use nexus_verify::{Filter, SERVICES, print_events, verify_log};
use serde_json::Value;

use crate::good::good;

async fn lines(filter: Filter) -> Vec<Value> {
    let log = good().stored().await;
    let mut out = Vec::new();
    print_events(&log, &SERVICES, &filter, &mut out).await.unwrap();
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn each_event_is_one_json_line_with_its_payload_and_nothing_sealed_is_shown() {
    let all = lines(Filter::default()).await;
    assert_eq!(all.len(), good().written.len());
    let created = all.iter().find(|line| line["type"] == "order.Created").unwrap();
    assert_eq!(created["aggregate"], "order/order-o1");
    assert_eq!(created["number"], 1);
    assert_eq!(created["story"], "o1");
    assert_eq!(created["causation"], Value::Null);
    assert_eq!(created["actor"]["kind"], "service");
    assert_eq!(created["payload"]["number"], "NX-1001");
    assert_eq!(created["payload"]["recipient"], "sealed");
    assert!(created["time"].as_str().unwrap().starts_with("2026-"));
    let picked = all.iter().find(|line| line["type"] == "stock_ledger.Picked").unwrap();
    assert_eq!(picked["payload"]["postings"][0]["account"], "BIN");
    assert_eq!(picked["payload"]["postings"][0]["delta"], -2);
    assert!(all.iter().all(|line| line["payload"].get("undecoded").is_none()));
}

#[tokio::test]
async fn a_filter_names_a_category_an_id_or_both() {
    for filter in ["order-o3", "o3", "order/order-o3"] {
        let found = lines(Filter::of(Some(filter))).await;
        assert_eq!(found.len(), 3, "{filter}");
    }
    assert_eq!(lines(Filter::of(Some("contact"))).await.len(), 1);
    assert!(lines(Filter::of(Some("o9"))).await.is_empty());
}

#[tokio::test]
async fn a_log_in_a_file_is_read_while_it_is_written_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    good().store_in(&*store.log()).await;
    let live = SqliteStore::open_read_only(dir.path()).await.unwrap();
    let report = verify_log(live, &SERVICES).await.unwrap();
    assert!(report.is_green(), "{report}");
    store.close().await;
    let stopped = SqliteStore::open_read_only(dir.path()).await.unwrap();
    let mut out = Vec::new();
    print_events(&*stopped, &SERVICES, &Filter::default(), &mut out).await.unwrap();
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), good().written.len());
    assert_eq!(verify_log(stopped, &SERVICES).await.unwrap(), report);
}
