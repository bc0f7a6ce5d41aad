//! What is counted is scraped, under names that stay few.

use std::collections::BTreeMap;

use super::*;

/// Samples of the text format by name, and how many label sets each has.
fn samples(text: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        let name = series.split('{').next().unwrap();
        *found.entry(name.to_owned()).or_default() += 1;
    }
    found
}

/// The name in the text, without the ending of its unit or kind.
fn scraped(name: &str) -> String {
    name.replace('.', "_")
}

#[test]
fn what_was_counted_is_scraped_under_its_name() {
    let took = Duration::from_millis(3);
    http_served(&http::Method::POST, "/v1/orders", StatusCode::OK, took);
    rpc_served(interned("nexus.order.v1.OrderService/GetOrder"), Code::NotFound, took);
    http_called(&http::Method::GET, "courier.example", Err("timeout"), took);
    courier_called("bosta", "deliveries", "done");
    channel_sent("whatsapp", "accepted");
    webhook("courier", "kept");
    nexus_es::measure::tell(|meter| {
        use nexus_es::measure::{AppendOutcome, Attempt};
        meter.appended("order", AppendOutcome::Conflict, took);
        meter.synced(4, took);
        meter.applied("order", 4, took);
        meter.attempted("confirm_order", Attempt::Retry, took);
    });
    let text = scrape();
    let found = samples(&text);
    let written_by_watch =
        ["nexus.view.behind", "nexus.view.lag", "nexus.process.behind", "nexus.process.lag"];
    let of_parked = ["nexus.process.parked", "nexus.process.parked.age"];
    for name in NAMES {
        if written_by_watch.contains(&name) || of_parked.contains(&name) {
            continue;
        }
        let wanted = scraped(name);
        assert!(found.keys().any(|present| present.starts_with(&wanted)), "{name} in\n{text}");
    }
    let served = "http_server_request_duration_seconds_count{http_request_method=\"POST\",\
                  http_response_status_code=\"200\",http_route=\"/v1/orders\"} 1";
    assert!(text.contains(served), "{text}");
    assert!(text.contains("nexus_log_commits_per_sync_sum 4"), "{text}");
    assert!(text.contains("nexus_log_conflicts_total{nexus_service=\"order\"} 1"), "{text}");
    assert!(text.contains("nexus_telemetry_dropped_total"), "{text}");
}

#[test]
fn a_method_that_somebody_invents_makes_no_new_series() {
    for nth in 0..50 {
        let method = http::Method::from_bytes(format!("BREW{nth}").as_bytes()).unwrap();
        http_served(&method, "unmatched", StatusCode::NOT_FOUND, Duration::ZERO);
    }
    let text = scrape();
    let count = "http_server_request_duration_seconds_count";
    let series = text.lines().filter(|line| line.starts_with(count) && line.contains("unmatched"));
    assert_eq!(series.count(), 1, "{text}");
}

#[test]
fn every_metric_is_in_the_document_for_operators() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating/telemetry.md");
    let document = std::fs::read_to_string(path).unwrap();
    for name in NAMES {
        assert!(document.contains(&format!("`{name}`")), "{name} is not in {path}");
    }
}
