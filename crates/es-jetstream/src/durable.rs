//! What an acknowledgement is worth, as the servers themselves say: only `sync_interval: always`
//! puts a commit on disk before it is acknowledged.
//! *Invariant:* strict is said only if every server that keeps a stream said so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use nexus_es::log::Durability;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection;
use crate::error::Error;
use crate::options::{Login, Options};

/// Asks all servers for their JetStream configuration.
pub(crate) const ASK_ALL: &str = "$SYS.REQ.SERVER.PING.JSZ";

/// Names a server and shows its JetStream configuration (`/jsz` shows it without the name).
const MONITOR_PATH: &str = "/varz";

/// The longest answer of a monitor that is read.
const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Server name to whether it syncs each write.
type Said = BTreeMap<String, bool>;

/// What an acknowledgement is worth on `keepers`, the servers that keep the streams.
pub(crate) async fn durability(
    options: &Options,
    keepers: &BTreeSet<String>,
) -> Result<Durability, Error> {
    let replicas = options.replicas;
    let (unread, said) = match ask(options, keepers).await {
        Ok(said) => (None, said),
        Err(why) => (Some(why), Said::new()),
    };
    let lazy: Vec<&str> = lazy(&said).collect();
    let silent: Vec<&str> = silent(&said, keepers).collect();
    let (kind, doubt) = if !lazy.is_empty() {
        ("fast", format!("{} acknowledges before it syncs", lazy.join(", ")))
    } else if let Some(why) = unread {
        ("unverified", why)
    } else if !silent.is_empty() {
        ("unverified", format!("{} did not say", silent.join(", ")))
    } else {
        let name = format!("strict (jetstream R{replicas}, sync_interval always)");
        return Ok(Durability { strict: true, name });
    };
    if options.unverified {
        let name = format!("{kind} (jetstream R{replicas}, {doubt})");
        Ok(Durability { strict: false, name })
    } else {
        Err(Error::Durability(doubt))
    }
}

fn lazy(said: &Said) -> impl Iterator<Item = &str> {
    said.iter().filter(|(_, always)| !**always).map(|(server, _)| server.as_str())
}

fn silent<'a>(said: &Said, keepers: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
    keepers.iter().filter(|server| !said.contains_key(*server)).map(String::as_str)
}

async fn ask(options: &Options, keepers: &BTreeSet<String>) -> Result<Said, String> {
    let mut said = Said::new();
    if let Some(login) = &options.system {
        said = ask_system(options, login, keepers).await?;
    }
    for monitor in &options.monitors {
        let (server, always) = timeout(options.request_timeout, ask_monitor(monitor))
            .await
            .unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
            .map_err(|why| format!("cannot read the monitor {monitor}: {why}"))?;
        said.insert(server, always);
    }
    if options.system.is_none() && options.monitors.is_empty() {
        return Err("neither a monitor nor a system login is configured".to_owned());
    }
    Ok(said)
}

async fn ask_system(
    options: &Options,
    login: &Login,
    keepers: &BTreeSet<String>,
) -> Result<Said, String> {
    let unable =
        |source: &dyn std::fmt::Display| format!("cannot ask the system account: {source}");
    let opened = connection::open(options, Some(login)).await;
    let (client, _broken) = opened.map_err(|why| unable(&why))?;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|why| unable(&why))?;
    let asked = client.publish_with_reply(ASK_ALL, inbox, Bytes::from_static(b"{}")).await;
    asked.map_err(|why| unable(&why))?;
    let mut said = Said::new();
    let gather = async {
        while silent(&said, keepers).next().is_some() {
            let Some(answer) = answers.next().await else { break };
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
            let server = answer.pointer("/server/name").and_then(Value::as_str);
            if let Some(server) = server {
                said.insert(server.to_owned(), always(answer.pointer("/data/config")));
            }
        }
    };
    // Whoever did not answer in time stays silent, and that is told by name.
    let in_time =
        timeout(options.request_timeout.min(Duration::from_secs(3)), gather).await.is_ok();
    tracing::debug!(in_time, "{} servers answered the system account", said.len());
    Ok(said)
}

/// Not set means no.
fn always(config: Option<&Value>) -> bool {
    config.and_then(|config| config.get("sync_always")).and_then(Value::as_bool).unwrap_or(false)
}

async fn ask_monitor(monitor: &str) -> Result<(String, bool), String> {
    let body = get(monitor).await?;
    let answer: Value = serde_json::from_slice(&body).map_err(|why| why.to_string())?;
    let server = answer.get("server_name").and_then(Value::as_str);
    let Some(server) = server else { return Err("the answer names no server".to_owned()) };
    Ok((server.to_owned(), always(answer.pointer("/jetstream/config"))))
}

/// One plain GET: the monitor is on the loopback or an operator's network, without TLS.
async fn get(monitor: &str) -> Result<Vec<u8>, String> {
    let Some(host) = monitor.strip_prefix("http://") else {
        return Err("only http:// is read".to_owned());
    };
    let host = host.trim_end_matches('/');
    let mut stream = TcpStream::connect(host).await.map_err(|why| why.to_string())?;
    let request = format!("GET {MONITOR_PATH} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|why| why.to_string())?;
    let mut answer = Vec::new();
    let mut limited = stream.take(MAX_ANSWER_BYTES);
    limited.read_to_end(&mut answer).await.map_err(|why| why.to_string())?;
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(head_end) = head_end else { return Err("it does not answer in HTTP".to_owned()) };
    let body = answer.split_off(head_end + 4);
    let head = String::from_utf8_lossy(&answer);
    match head.split(' ').nth(1) {
        Some("200") => Ok(body),
        status => Err(format!("it answered {}", status.unwrap_or("without a status"))),
    }
}
