//! A nats-server of the run's own, on free ports of the loopback.
//! *Invariant:* it ends with the run.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::Value;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(20);

/// When the server syncs what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sync {
    /// Before it acknowledges: `sync_interval: always`.
    Always,
    /// Every two minutes: the server's default.
    Lazy,
}

pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
    pub(crate) monitor: String,
}

impl Server {
    /// Starts `program` over an empty store in `dir`, and waits until it takes connections.
    pub(crate) async fn start(program: &Path, dir: &Path, sync: Sync) -> anyhow::Result<Self> {
        let config = dir.join("nats.conf");
        std::fs::write(&config, text(dir, sync))?;
        let process = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("nats.log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { process, url: String::new(), monitor: String::new() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((url, monitor)) = ports(dir) {
                (server.url, server.monitor) = (url, monitor);
                return Ok(server);
            }
            if server.process.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(dir.join("nats.log")).unwrap_or_default();
                bail!("{} does not start: {log}", program.display());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

fn text(dir: &Path, sync: Sync) -> String {
    let dir = dir.display();
    let sync = match sync {
        Sync::Always => "sync_interval: always, ",
        Sync::Lazy => "",
    };
    format!(
        "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nserver_name: nexus-bench\n\
         ports_file_dir: \"{dir}\"\n\
         jetstream {{ store_dir: \"{dir}/nats\", {sync}max_file_store: 200GB, \
         max_memory_store: 256MB }}\n"
    )
}

/// The addresses that the server wrote down, once it did.
fn ports(dir: &Path) -> Option<(String, String)> {
    let is_ports = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "ports");
    let mut files = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let ports = std::fs::read(files.find(is_ports)?).ok()?;
    let ports: Value = serde_json::from_slice(&ports).ok()?;
    let address = |what: &str| Some(ports.pointer(what)?.as_str()?.to_owned());
    Some((address("/nats/0")?, address("/monitoring/0")?))
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot end nats-server {}: {error}", self.process.id());
        }
    }
}
