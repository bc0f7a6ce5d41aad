//! What an operator can follow: the spans of one order are one story and connected.

use std::collections::{BTreeMap, BTreeSet};

use nexus_tests::harness::shop::{LAMP, MUG};
use nexus_tests::harness::{Life, Look, Nexus, Options, Wish};
use reqwest::Method;
use serde_json::{Value, json};

const NO_PARENT: &str = "0000000000000000";
const STORY: &str = "nexus.story";

fn story(span: &Value) -> &str {
    span.at("attributes").get(STORY).and_then(Value::as_str).unwrap_or_default()
}

struct Spans(Vec<Value>);

impl Spans {
    fn of(nexus: &Nexus) -> anyhow::Result<Self> {
        let lines = nexus.log_lines()?;
        Ok(Self(lines.into_iter().filter(|line| line.text("kind") == "span").collect()))
    }

    fn trace<'a>(&'a self, trace_id: &'a str) -> Vec<&'a Value> {
        self.0.iter().filter(|span| span.text("trace_id") == trace_id).collect()
    }
}

/// Spans of one trace whose parent is not in it.
fn orphans<'a>(trace: &[&'a Value]) -> Vec<&'a Value> {
    let known: BTreeSet<_> = trace.iter().map(|span| span.text("span_id")).collect();
    let has_parent = |span: &&&Value| {
        let parent = span.text("parent_span_id");
        parent == NO_PARENT || known.contains(parent)
    };
    trace.iter().filter(|span| !has_parent(span)).copied().collect()
}

#[tokio::test]
async fn the_spans_of_an_order_share_its_story_and_lead_from_the_request_to_every_process()
-> anyhow::Result<()> {
    let (mut nexus, shop) = Nexus::with_shop(Options::at_speed(10.0), 20).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 2), (LAMP, 1)])).await?;
    let path = format!("/v1/orders/{}:confirm", life.order_id);
    let key = nexus_tests::harness::Rest::fresh_key();
    let confirmed = shop.rest.command_with(Method::POST, &path, &json!({}), &key).await?;
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    let trace_id = confirmed.header("trace-id").to_owned();
    life.walk_on().await?;
    let timeline = life.timeline().await?;
    nexus.terminate().await?;

    let spans = Spans::of(&nexus)?;
    let trace = spans.trace(&trace_id);
    let names: BTreeSet<_> = trace.iter().map(|span| span.text("name")).collect();
    let roots: Vec<_> =
        trace.iter().filter(|span| span.text("parent_span_id") == NO_PARENT).collect();
    assert_eq!(roots.len(), 1, "{names:?}");
    assert!(roots.iter().all(|root| root.text("name").ends_with(":confirm")), "{roots:?}");
    assert_eq!(orphans(&trace), Vec::<&Value>::new());
    for process in ["process confirm_order", "process open_fulfillment"] {
        assert!(names.contains(process), "{process} is not among {names:?}");
    }
    let others: Vec<_> = trace
        .iter()
        .filter(|span| !story(span).is_empty() && story(span) != life.order_id)
        .collect();
    assert!(others.is_empty(), "{others:?}");

    every_service_tells_the_story(&spans, &life.order_id);
    every_event_leads_to_a_trace(&spans, &timeline);
    Ok(())
}

fn every_service_tells_the_story(spans: &Spans, order: &str) {
    let told = spans.0.iter().filter(|span| story(span) == order);
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    for span in told {
        *by_kind.entry(span.text("name")).or_default() += 1;
    }
    let processes = [
        "confirm_order",
        "open_fulfillment",
        "record_picks",
        "follow_order",
        "create_awb",
        "tell_customer",
        "send_message",
        "apply_courier_event",
    ];
    for process in processes {
        let name = format!("process {process}");
        assert!(by_kind.contains_key(name.as_str()), "no span {name} among {by_kind:?}");
    }
}

/// What the timeline shows an operator to click on must be there.
fn every_event_leads_to_a_trace(spans: &Spans, timeline: &[Value]) {
    let known: BTreeSet<_> = spans.0.iter().map(|span| span.text("trace_id")).collect();
    for entry in timeline {
        let trace = entry.text("trace_id");
        assert!(known.contains(trace), "the trace of {} is nowhere", entry.text("type"));
    }
}

#[tokio::test]
async fn an_error_carries_the_id_of_a_trace_that_is_there() -> anyhow::Result<()> {
    let (mut nexus, shop) = Nexus::with_shop(Options::default(), 20).await?;
    let answer = shop.rest.command("/v1/orders/none:confirm", &json!({})).await?;
    assert_eq!(answer.status, 404);
    let trace_id = answer.body.text("trace_id").to_owned();
    assert_eq!(answer.header("trace-id"), trace_id);
    nexus.terminate().await?;
    assert!(!Spans::of(&nexus)?.trace(&trace_id).is_empty());
    Ok(())
}
