//! What the log refuses to start on, and how it says so.

use nexus_es::log::EventLog;
use nexus_es_jetstream::{Error, JetStreamLog, JetStreamStore, Login, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::server::{Server, Setup, login};

async fn refusal(options: Options) -> String {
    let error = JetStreamLog::connect(options).await.map(|_| ()).unwrap_err();
    error.to_string()
}

#[tokio::test]
async fn a_server_that_syncs_each_write_is_strict_by_monitor_and_by_system_login() {
    let server = Server::start(Setup::default()).await;
    let by_monitor = server.options();
    let by_system =
        Options { monitors: vec![], system: Some(login("watcher")), ..server.options() };
    for options in [by_monitor, by_system] {
        let durability = JetStreamLog::connect(options).await.unwrap().durability();
        assert!(durability.strict);
        assert_eq!(durability.name, "strict (jetstream R1, sync_interval always)");
    }
}

#[tokio::test]
async fn a_server_that_syncs_later_is_refused_unless_the_operator_says_so() {
    let server = Server::start(Setup { sync_interval: "\"2m\"", ..Setup::default() }).await;
    let said = refusal(server.options()).await;
    assert!(said.contains("acknowledges before it syncs"), "{said}");
    assert!(said.contains("sync_interval: always"), "{said}");
    let options = Options { unverified: true, ..server.options() };
    let durability = JetStreamLog::connect(options).await.unwrap().durability();
    assert!(!durability.strict);
    assert!(durability.name.starts_with("fast (jetstream R1, "), "{}", durability.name);
}

#[tokio::test]
async fn a_server_whose_durability_nobody_reads_is_refused_unless_the_operator_says_so() {
    let server = Server::start(Setup::default()).await;
    let unread = Options { monitors: vec![], ..server.options() };
    let said = refusal(unread.clone()).await;
    assert!(said.contains("neither a monitor nor a system login"), "{said}");
    let elsewhere = Options { monitors: vec!["http://127.0.0.1:9".to_owned()], ..unread.clone() };
    let said = refusal(elsewhere).await;
    assert!(said.contains("cannot read the monitor http://127.0.0.1:9"), "{said}");
    let options = Options { unverified: true, ..unread };
    let durability = JetStreamLog::connect(options).await.unwrap().durability();
    assert!(!durability.strict);
    assert!(durability.name.starts_with("unverified (jetstream R1, "), "{}", durability.name);
}

#[tokio::test]
async fn the_monitor_of_another_server_proves_nothing() {
    let server = Server::start(Setup::default()).await;
    let other = Server::start(Setup::default()).await;
    let said = refusal(Options { monitors: vec![other.monitor()], ..server.options() }).await;
    assert!(said.contains("did not say"), "{said}");
}

#[tokio::test]
async fn a_stream_with_other_settings_on_the_server_is_refused_by_name() {
    let server = Server::start(Setup::default()).await;
    drop(server.log().await);
    let context = server.context().await;
    let info: Value = context.request("STREAM.INFO.ORDER", &json!({})).await.unwrap();
    let mut config = info["config"].clone();
    config["max_age"] = json!(3_600_000_000_000_u64);
    config["duplicate_window"] = json!(60_000_000_000_u64);
    let changed: Value = context.request("STREAM.UPDATE.ORDER", &config).await.unwrap();
    assert!(changed.get("error").is_none(), "{changed}");
    let error = JetStreamLog::connect(server.options()).await.map(|_| ()).unwrap_err();
    let said = error.to_string();
    let Error::Settings { stream, .. } = error else { panic!("{said}") };
    assert_eq!(stream, "ORDER");
    for setting in ["max_age is 3600000000000, needed is 0", "duplicate_window is 60000000000"] {
        assert!(said.contains(setting), "{said}");
    }
}

#[tokio::test]
async fn a_stream_missing_on_the_server_is_only_made_by_who_may() {
    let server = Server::start(Setup::default()).await;
    let said = refusal(Options { create: false, ..server.options() }).await;
    assert!(said.contains("the stream ORDER does not exist"), "{said}");
    drop(server.log().await);
    JetStreamLog::connect(Options { create: false, ..server.options() }).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_without_the_password() {
    let server = Server::start(Setup::default()).await;
    server.kill();
    let said = refusal(server.options()).await;
    assert_eq!(said, format!("cannot connect to NATS at {}", server.address()));
    server.restart().await;
    let stranger = Login::Password { user: "ali".to_owned(), password: "guess".into() };
    let said = refusal(Options { login: Some(stranger), ..server.options() }).await;
    assert!(said.starts_with("cannot connect to NATS"), "{said}");
}

#[tokio::test]
async fn a_bucket_with_other_settings_on_the_server_is_refused_by_name() {
    let server = Server::start(Setup::default()).await;
    server.store().await.close().await;
    let context = server.context().await;
    for (stream, setting, value) in [
        ("KV_nexus_leases", "max_age", json!(3_600_000_000_000_u64)),
        ("KV_nexus_keys", "max_msgs_per_subject", json!(1)),
        ("OBJ_nexus_blobs", "discard", json!("old")),
    ] {
        let name = format!("STREAM.INFO.{stream}");
        let info: Value = context.request(name, &json!({})).await.unwrap();
        let mut config = info["config"].clone();
        config[setting] = value;
        let changed: Value =
            context.request(format!("STREAM.UPDATE.{stream}"), &config).await.unwrap();
        assert!(changed.get("error").is_none(), "{changed}");
        let error = JetStreamStore::connect(server.options()).await.map(|_| ()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(stream) && said.contains(setting), "{said}");
        let restored: Value =
            context.request(format!("STREAM.UPDATE.{stream}"), &info["config"]).await.unwrap();
        assert!(restored.get("error").is_none(), "{restored}");
    }
    JetStreamStore::connect(server.options()).await.unwrap();
}

/// Something that greets as a server does, and answers pings; nothing else.
async fn greeter(greeting: Value) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let mut greeter = JoinSet::new();
    greeter.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from, mut to) = client.into_split();
            to.write_all(format!("INFO {greeting}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "PING" {
                    to.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        }
    });
    (url, greeter)
}

#[tokio::test]
async fn a_server_that_is_too_old_or_keeps_no_streams_is_refused_by_what_it_lacks() {
    let greeting = json!({
        "server_id": "OLD", "server_name": "old", "version": "2.9.10", "go": "go", "proto": 1,
        "host": "127.0.0.1", "port": 1, "headers": true, "max_payload": 1_048_576,
        "jetstream": true, "client_id": 1,
    });
    for (setting, value, lacks) in [
        ("version", json!("2.9.10"), "it is version 2.9.10, the log needs 2.12 or newer"),
        ("version", json!("2.11.9"), "it is version 2.11.9, the log needs 2.12 or newer"),
        ("jetstream", json!(false), "JetStream is not enabled there"),
        ("max_payload", json!(65_536), "its max_payload is 65536, the log needs 786432"),
    ] {
        let mut greeting = greeting.clone();
        greeting["version"] = json!("2.15.1");
        greeting[setting] = value;
        let (url, _greeter) = greeter(greeting).await;
        let said = refusal(Options::new(vec![url])).await;
        assert_eq!(said, format!("cannot use the NATS server old: {lacks}"));
    }
}
