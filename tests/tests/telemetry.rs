//! What an operator can follow: the spans of one order are one story and connected.

use std::collections::{BTreeMap, BTreeSet};

use nexus_tests::harness::seven::ROLES;
use nexus_tests::harness::shop::{LAMP, MUG};
use nexus_tests::harness::spans::{Told, orphans as orphans_of, parts};
use nexus_tests::harness::{Collector, Layout, Life, Look, Nexus, Options, Wish};
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
    // Lines of several processes in one file may tear each other; a collector is told all of them.
    let options = Options { layout: Layout::OneProcessSqlite, ..Options::at_speed(10.0) };
    let (mut nexus, shop) = Nexus::with_shop(options, 20).await?;
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

#[tokio::test]
async fn a_collector_is_told_the_whole_story_of_an_order_as_one_connected_graph()
-> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let environment = collector.environment();
    let options = Options { environment, ..Options::at_speed(10.0) };
    let (mut nexus, shop) = Nexus::with_shop(options, 20).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 2), (LAMP, 1)])).await?;
    life.walk().await?;
    let timeline = life.timeline().await?;
    let traces: BTreeSet<_> = timeline.iter().map(|entry| entry.text("trace_id")).collect();
    collector
        .wait_for("for the spans of all events, to the receipt", |collector| {
            let told = collector.spans();
            let receipt =
                |span: &Told| span.name == "process apply_receipt" && span.story() == life.order_id;
            traces.iter().all(|trace| told.iter().any(|span| span.trace_id == **trace))
                && told.iter().any(receipt)
        })
        .await?;
    collector
        .wait_for("for the metrics", |collector| {
            collector.metrics().contains("rpc.server.call.duration")
        })
        .await?;
    nexus.terminate().await?;

    let spans: Vec<Told> = collector.spans();
    assert_eq!(orphans_of(&spans), Vec::<&Told>::new());
    let told: BTreeSet<_> = spans.iter().map(|span| span.service.as_str()).collect();
    match Layout::of_environment() {
        Layout::SevenProcessesJetStream => {
            let roles = ROLES.map(|role| format!("nexus-{role}"));
            assert!(roles.iter().all(|role| told.contains(role.as_str())), "{told:?}");
        }
        _ => assert_eq!(told, BTreeSet::from(["nexus-up"])),
    }
    assert!(spans.iter().all(|span| span.attributes.contains_key(STORY)));
    let repeated: Vec<_> = spans.iter().filter(|span| !span.repeated.is_empty()).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    let all = format!("{spans:?}");
    for personal in ["Farouk", "201000000001", "01000000001", "Abbas El Akkad"] {
        assert!(!all.contains(personal), "{personal} stands in a span");
    }
    // Who only looks tells nothing that happened.
    let looks = |span: &Told| span.parent.is_empty() && span.name.starts_with("GET ");
    let looked: BTreeSet<_> =
        spans.iter().filter(|span| looks(span)).map(|span| span.trace_id.clone()).collect();
    let happened: Vec<_> =
        spans.into_iter().filter(|span| !looked.contains(&span.trace_id)).collect();
    let parts = parts(&happened, &life.order_id);
    assert_eq!(parts.len(), 1, "{parts:#?}");
    let told: BTreeSet<_> = parts.into_iter().flatten().collect();
    for name in [
        "POST /v1/orders",
        "POST /v1/orders/{order_id}:confirm",
        "POST /tracking-webhook/{account_token}",
        "POST /whatsapp-webhook/{account_token}",
        "process apply_receipt",
    ] {
        assert!(told.contains(name), "{name} is not among {told:?}");
    }
    let kinds: BTreeSet<_> = happened.iter().map(|span| span.kind.as_str()).collect();
    assert!(kinds.is_superset(&["server", "client", "consumer"].into()), "{kinds:?}");
    for name in ["POST /api/v2/deliveries", "POST /{version}/{phone_number_id}/messages"] {
        let call = happened.iter().find(|span| span.name == name);
        let call = call.ok_or_else(|| anyhow::anyhow!("no call {name}"))?;
        assert_eq!((call.kind.as_str(), call.story()), ("client", life.order_id.as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_call_and_its_losses_are_counted() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let environment = collector.environment();
    drop(collector);
    // One process shows the figures of all services at once.
    let layout = Layout::OneProcessSqlite;
    let options = Options { environment, layout, ..Options::default() };
    let (mut nexus, shop) = Nexus::with_shop(options, 20).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    life.walk().await?;
    let lost = "nexus_telemetry_dropped_total{nexus_reason=\"not_taken\",nexus_signal=\"traces\"}";
    let limit = std::time::Duration::from_secs(60);
    let url = format!("{}/metrics", nexus.endpoints.http);
    let text = nexus_tests::harness::wait::until("for counted losses", limit, async || {
        let text = reqwest::get(&url).await?.text().await?;
        let number = text.lines().find_map(|line| line.strip_prefix(lost)?.trim().parse().ok());
        Ok(number.filter(|lost: &f64| *lost > 0.0).map(|_| text))
    })
    .await?;
    for name in [
        "http_server_request_duration_seconds_count",
        "rpc_server_call_duration_seconds_bucket",
        "nexus_view_lag_seconds",
        "nexus_process_lag_seconds",
        "nexus_log_append_duration_seconds_sum",
        "nexus_log_commits_per_sync_count",
        "nexus_courier_calls_total",
        "nexus_channel_sends_total",
        "nexus_webhooks_total",
        "process_uptime_seconds",
        "process_memory_usage_bytes",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(!text.contains(&life.order_id), "an order's id became a label");
    nexus.terminate().await?;
    let warnings = nexus.log_lines()?;
    let said = warnings.iter().filter(|line| line.text("message").starts_with("telemetry is not"));
    assert_eq!(said.count(), 1);
    Ok(())
}

#[tokio::test]
async fn the_trace_of_a_known_caller_goes_on_and_that_of_a_stranger_does_not() -> anyhow::Result<()>
{
    let (mut nexus, _) = Nexus::with_shop(Options::default(), 1).await?;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let call = async |key: &str| {
        let request = reqwest::Client::builder()
            .build()?
            .get(format!("{}/v1/orders/none", nexus.endpoints.http));
        let request = request.header("authorization", format!("Bearer {key}"));
        let request = request.header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"));
        let answer = request.send().await?;
        let answered = answer.headers().get("trace-id").map(|id| id.to_str().map(str::to_owned));
        anyhow::Ok((answer.status().as_u16(), answered.transpose()?.unwrap_or_default()))
    };
    assert_eq!(call(&nexus.admin_key()?).await?, (404, trace_id.to_owned()));
    let (status, own) = call("nx_unknown").await?;
    assert_eq!(status, 401);
    assert_ne!(own, trace_id);
    nexus.terminate().await?;
    let spans = Spans::of(&nexus)?;
    let names: BTreeSet<_> = spans.trace(trace_id).iter().map(|span| span.text("name")).collect();
    let rpc = "nexus.order.v1.OrderService/GetOrder";
    assert_eq!(names, BTreeSet::from(["GET /v1/orders/{order_id}", rpc]));
    Ok(())
}

#[tokio::test]
async fn a_collector_is_told_over_tls_by_whoever_knows_its_certificate() -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let collector =
        Collector::with_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).await?;
    let folder = tempfile::tempdir()?;
    let certificate = folder.path().join("collector.pem");
    std::fs::write(&certificate, made.cert.pem())?;
    let mut environment = collector.environment();
    let path = certificate.display().to_string();
    environment.push(("OTEL_EXPORTER_OTLP_CERTIFICATE".to_owned(), path));
    let mut nexus = Nexus::start(Options { environment, ..Options::default() }).await?;
    nexus.rest()?.get("/v1/orders").await?;
    collector.wait_for("for a span", |collector| !collector.spans().is_empty()).await?;
    nexus.terminate().await?;
    Ok(())
}
