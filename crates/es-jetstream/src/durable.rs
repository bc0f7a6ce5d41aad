//! What an acknowledgement is worth, as the servers themselves say: only `sync_interval: always`
//! puts a commit on disk before it is acknowledged.
//! *Invariant:* strict is said only if no server said otherwise, and most of those that keep a
//! stream said so: who is down acknowledges nothing, and a role must be able to start without it.

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

/// What the servers answered.
#[derive(Default)]
struct Answers {
    said: Said,
    /// Why one of them could not be asked.
    unread: Option<String>,
}

/// What an acknowledgement is worth on `keepers`, the servers that keep the streams.
pub(crate) async fn durability(
    options: &Options,
    keepers: &BTreeSet<String>,
) -> Result<Durability, Error> {
    let replicas = options.replicas;
    let Answers { said, unread } = ask(options, keepers).await;
    let lazy: Vec<&str> = lazy(&said).collect();
    let silent: Vec<&str> = silent(&said, keepers).collect();
    let did_not_say = || format!("{} did not say", silent.join(", "));
    let (kind, doubt) = if !lazy.is_empty() {
        ("fast", format!("{} acknowledges before it syncs", lazy.join(", ")))
    } else if said.is_empty() || silent.len() * 2 >= keepers.len() && !silent.is_empty() {
        ("unverified", unread.unwrap_or_else(did_not_say))
    } else {
        let mut name = format!("strict (jetstream R{replicas}, sync_interval always");
        if !silent.is_empty() {
            tracing::warn!("{}: is it down?", did_not_say());
            name = format!("{name}; {}", did_not_say());
        }
        return Ok(Durability { strict: true, name: format!("{name})") });
    };
    if options.unverified {
        let name = format!("{kind} (jetstream R{replicas}, {doubt})");
        Ok(Durability { strict: false, name })
    } else {
        let configured = options.system.is_some() || !options.monitors.is_empty();
        Err(Error::Durability { doubt, unasked: kind == "unverified" && configured })
    }
}

fn lazy(said: &Said) -> impl Iterator<Item = &str> {
    said.iter().filter(|(_, always)| !**always).map(|(server, _)| server.as_str())
}

fn silent<'a>(said: &Said, keepers: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
    keepers.iter().filter(|server| !said.contains_key(*server)).map(String::as_str)
}

async fn ask(options: &Options, keepers: &BTreeSet<String>) -> Answers {
    let mut answers = Answers::default();
    if options.system.is_none() && options.monitors.is_empty() {
        answers.unread = Some("neither a monitor nor a system login is configured".to_owned());
    }
    if let Some(login) = &options.system {
        match ask_system(options, login, keepers).await {
            Ok(said) => answers.said = said,
            Err(why) => answers.unread = Some(why),
        }
    }
    for monitor in &options.monitors {
        let asked = timeout(options.request_timeout, ask_monitor(monitor)).await;
        match asked.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
            Ok((server, always)) => drop(answers.said.insert(server, always)),
            Err(why) => {
                answers.unread = Some(format!("cannot read the monitor {monitor}: {why}"));
            }
        }
    }
    answers
}

async fn ask_system(
    options: &Options,
    login: &Login,
    keepers: &BTreeSet<String>,
) -> Result<Said, String> {
    let unable =
        |source: &dyn std::fmt::Display| format!("cannot ask the system account: {source}");
    let opened = connection::open(options, Some(login)).await;
    let (client, _changes) = opened.map_err(|why| unable(&why))?;
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
