//! Alerts and dashboards speak of figures that there are, and operators find what each means.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::repository::{files_in, is_there, nexus, root, run, said, text, yaml};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/dashboards/nexus.json";

/// Of others: the exporter of NATS, and Prometheus itself.
const OTHERS: [&str; 7] = [
    "gnatsd_varz_connections",
    "gnatsd_varz_in_msgs",
    "gnatsd_varz_out_msgs",
    "gnatsd_varz_slow_consumers",
    "jetstream_stream_limit_bytes",
    "jetstream_stream_total_bytes",
    "up",
];
const ENDINGS: [&str; 8] =
    ["", "_seconds", "_seconds_bucket", "_seconds_count", "_total", "_sum", "_count", "_bytes"];

fn rules() -> Vec<Value> {
    let rules = yaml(&text(ALERTS)).remove(0);
    let groups = rules["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| queries(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| queries(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Names as `/metrics` writes them, from the table that a test compares with the code.
fn known() -> BTreeSet<String> {
    let document = text("docs/operating/telemetry.md");
    let (_, table) = document.split_once("## Metrics").unwrap();
    let names = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let names = names.map(|name| name.replace('.', "_"));
    let endings = |name: String| ENDINGS.map(|ending| format!("{name}{ending}"));
    names.flat_map(endings).chain(OTHERS.map(str::to_owned)).collect()
}

/// What a query names, without what stands in quotes, in braces and after `by`.
fn metrics_in(query: &str) -> BTreeSet<String> {
    let mut bare = String::new();
    let (mut quoted, mut braces) = (false, 0_u32);
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => braces += 1,
            '}' if !quoted => braces -= 1,
            _ if !quoted && braces == 0 => bare.push(c),
            _ => {}
        }
    }
    while let Some((before, rest)) = bare.split_once(" by (") {
        bare = format!("{before}{}", rest.split_once(')').unwrap().1);
    }
    let words = bare.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$');
    let words = words.filter(|word| word.contains('_') && !word.starts_with('$'));
    let functions = ["histogram_quantile"];
    words.filter(|word| !functions.contains(word)).map(str::to_owned).collect()
}

#[test]
fn every_figure_that_is_looked_at_exists() {
    let known = known();
    let mut asked: Vec<_> =
        rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    queries(&serde_json::from_str(&text(DASHBOARD)).unwrap(), &mut asked);
    assert!(asked.len() > 60, "{}", asked.len());
    for query in asked {
        for metric in metrics_in(&query) {
            assert!(known.contains(&metric), "nobody tells {metric}: {query}");
        }
    }
}

#[test]
fn operators_find_what_each_alert_means() {
    let document = text("docs/operating/alerts.md");
    let written: BTreeSet<_> =
        document.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let rules = rules();
    let alerts: BTreeSet<_> =
        rules.iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!(alerts, written);
    for rule in rules {
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{rule}");
    }
}

#[test]
fn every_variable_that_is_written_about_is_a_setting() {
    let listing = said(&run(&nexus(), &["config", "order"], &Default::default()));
    let known: BTreeSet<_> = listing.lines().filter_map(|line| line.split('=').next()).collect();
    // The file's name, and what Kubernetes would add for a service called nexus-order.
    let others = ["NEXUS_CONFIG", "NEXUS_ORDER_SERVICE_HOST"];
    let files = files_in("deploy").into_iter().chain(files_in("docs/operating"));
    for file in files.chain(["docker-compose.yml".to_owned()]) {
        let text = text(&file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // `NEXUS_<SERVICE>_…` and the like end in what is left open.
        let whole = words.filter(|word| word.starts_with("NEXUS_") && !word.ends_with('_'));
        for word in whole {
            let is_known = known.contains(word) || others.contains(&word);
            assert!(is_known || word.starts_with("NEXUS_TEST_"), "{file}: {word} is no setting");
        }
    }
}

#[test]
fn prometheus_understands_its_files() {
    if !is_there(&["promtool", "--version"], "the syntax of alerts") {
        return;
    }
    let checked =
        Command::new("promtool").args(["check", "rules"]).arg(root().join(ALERTS)).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}
