//! Roles as processes of their own: they start in any order, walk an order together, drain when
//! they are told to stop, and end at once when a setting is wrong.

use std::process::Child;
use std::time::Duration;

use anyhow::Context;
use nexus_tests::harness::nats::NatsServer;
use nexus_tests::harness::nexus::terminate;
use nexus_tests::harness::seven::{self, Seven};
use nexus_tests::harness::shop::{LAMP, MUG};
use nexus_tests::harness::{Layout, Life, Look, Nexus, Options, Wish, wait};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);
/// Slow enough that the courier has nothing to say before the parcel is handed over.
const SPEED: f64 = 5.0;

fn on(layout: Layout) -> Options {
    Options { layout, ..Options::at_speed(SPEED) }
}

#[tokio::test]
async fn seven_processes_walk_an_order_to_its_door() -> anyhow::Result<()> {
    let (mut nexus, shop) = Nexus::with_shop(on(Layout::SevenProcessesJetStream), 100).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3), (LAMP, 2)])).await?;
    life.confirm().await?;
    // Certificates are renewed under way, and a role comes back with the new one.
    nexus.seven().context("one process")?.certify().await?;
    assert!(nexus.terminate_role("order").await?.success());
    nexus.restart_role("order").await?;
    life.walk_on().await?;
    assert_eq!(life.order().await?.text("status"), "delivered");
    let rebuilt = nexus.tool(&["rebuild"]).await?;
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    nexus.verify().await?;
    let denied = nexus.log_lines()?.into_iter();
    let denied: Vec<_> = denied.filter(|line| line.text("message").starts_with("denied")).collect();
    assert!(denied.is_empty(), "{denied:?}");
    assert!(nexus.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn one_process_on_jetstream_walks_an_order_to_its_door() -> anyhow::Result<()> {
    let (mut nexus, shop) = Nexus::with_shop(on(Layout::OneProcessJetStream), 100).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3), (LAMP, 2)])).await?;
    life.walk().await?;
    nexus.restart().await?;
    nexus.verify().await?;
    assert!(nexus.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_away_costs_a_wait_and_nobodys_work_is_parked() -> anyhow::Result<()> {
    let (mut nexus, shop) = Nexus::with_shop(on(Layout::SevenProcessesJetStream), 100).await?;
    let mut life = Life::begin(&shop, Wish::of(1, &[(MUG, 3)])).await?;
    nexus.role("inventory")?.kill()?;
    let path = format!("/v1/orders/{}:confirm", life.order_id);
    let asked = shop.rest.command(&path, &json!({})).await?.ok()?;
    assert_eq!(asked["settled"], false, "{asked}");
    let direct = shop.rest.send(Method::GET, "/v1/products", None, None).await?;
    assert_eq!(direct.status, 503, "{}", direct.body);
    nexus.restart_role("inventory").await?;
    life.until_status("confirmed").await?;
    let parked = shop.rest.get("/v1/parked").await?;
    assert_eq!(parked["parked"], json!([]));
    life.walk_on().await?;
    nexus.verify().await
}

/// Processes that end with the test.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // They may have ended by themselves.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

async fn stands(role: &str, seven: &Seven) -> anyhow::Result<(u16, Value)> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build()?;
    let answer = http.get(format!("{}/readyz", seven.health(role))).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Waits until the role says that it waits for something with these words.
async fn waits(role: &str, seven: &Seven, words: &str) -> anyhow::Result<()> {
    let what = format!("for {role} to wait: {words}");
    let waited = wait::until(&what, PATIENCE, async || {
        let Ok((status, report)) = stands(role, seven).await else { return Ok(None) };
        let said = report.text("waits_for").contains(words);
        Ok((status == 503 && said).then_some(()))
    });
    waited.await
}

#[tokio::test]
async fn roles_start_before_everything_they_need_and_say_what_they_wait_for() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let mut nats = NatsServer::choose(&folder.path().join("nats"))?;
    let settings = nats.settings();
    let seven = Seven::choose(&folder.path().join("data")).await?;
    let log = folder.path().join("log");
    let mut children = Children(Vec::new());
    for role in ["order", "gateway"] {
        children.0.push(seven.spawn_role(role, &settings, &log)?);
    }
    waits("order", &seven, "no master key").await?;
    nats.restart().await?;
    seven.init(&settings).await?;
    nats.kill9()?;
    // Those that have a key now wait for the server.
    children.0.push(seven.spawn_role("inventory", &settings, &log)?);
    waits("inventory", &seven, "cannot connect to NATS").await?;
    nats.restart().await?;
    for role in ["ingress", "shipping", "notification", "fulfillment"] {
        children.0.push(seven.spawn_role(role, &settings, &log)?);
    }
    seven::ready(&seven, &mut children.0, PATIENCE).await?;
    let (_, report) = stands("order", &seven).await?;
    assert_eq!(report["strict"], true, "{report}");
    let said = std::fs::read_to_string(&log)?;
    assert!(said.contains("waiting: there is no master key"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_told_to_stop_answers_what_it_has_begun_and_takes_nothing_new()
-> anyhow::Result<()> {
    let (mut nexus, _shop) = Nexus::with_shop(on(Layout::SevenProcessesJetStream), 5).await?;
    let door = nexus.endpoints.http.trim_start_matches("http://").to_owned();
    let body = r#"{"name": "drained", "roles": ["clerk"]}"#;
    let (first, second) = body.split_at(10);
    let mut begun = TcpStream::connect(&door).await?;
    let head = format!(
        "POST /v1/api-keys HTTP/1.1\r\nhost: nexus\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         expect: 100-continue\r\n\r\n",
        nexus.admin_key()?,
        body.len()
    );
    begun.write_all(head.as_bytes()).await?;
    // It asks for the body: the request is in its hands.
    let mut asked = [0; 25];
    tokio::time::timeout(PATIENCE, begun.read_exact(&mut asked)).await??;
    assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
    begun.write_all(first.as_bytes()).await?;
    terminate(nexus.role("gateway")?)?;
    wait::until("for the door to close", PATIENCE, async || {
        Ok(TcpStream::connect(&door).await.is_err().then_some(()))
    })
    .await?;
    let seven = nexus.seven().context("one process")?;
    let (status, report) = stands("gateway", seven).await?;
    assert_eq!(status, 503, "{report}");
    begun.write_all(second.as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, begun.read_to_string(&mut answer)).await??;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let gateway = nexus.role("gateway")?;
    let ended = wait::until("for the gateway to end", PATIENCE, async || Ok(gateway.try_wait()?));
    assert!(ended.await?.success());
    nexus.restart_role("gateway").await
}

#[tokio::test]
async fn a_wrong_setting_ends_a_role_at_its_start_with_a_sentence_that_names_it()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let seven = Seven::choose(&folder.path().join("data")).await?;
    let wrong = [
        ("NEXUS_ORDER_NUMBER_PREFX", "A-", "NEXUS_ORDER_NUMBER_PREFIX"),
        ("NEXUS_NATS_REPLICAS", "three", "NEXUS_NATS_REPLICAS is \"three\""),
        ("NEXUS_GRPC_LISTEN", "order:1", "NEXUS_GRPC_LISTEN is \"order:1\""),
        ("NEXUS_LOG", "info", "NEXUS_LOG_FILTER"),
    ];
    for (name, value, sentence) in wrong {
        let log = folder.path().join(name);
        let environment = [(name.to_owned(), value.to_owned())];
        let mut children = Children(vec![seven.spawn_role("order", &environment, &log)?]);
        let [child] = children.0.as_mut_slice() else { continue };
        let ended = wait::until("for the role to end", PATIENCE, async || Ok(child.try_wait()?));
        assert_eq!(ended.await?.code(), Some(1));
        let said = std::fs::read_to_string(&log)?;
        assert!(said.contains(name) && said.contains(sentence), "{said}");
    }
    Ok(())
}
