//! A nats-server of one's own, that acknowledges only what is on disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;

use super::{ports, wait};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running nats-server. Dropped, it is killed.
#[derive(Debug)]
pub struct NatsServer {
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// For clients.
    pub url: String,
    /// For reading its settings.
    pub monitor: String,
}

impl NatsServer {
    /// Starts one that keeps its files in `folder`.
    ///
    /// # Errors
    /// When there is no nats-server, or it does not answer.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut server = Self::choose(folder)?;
        server.restart().await?;
        Ok(server)
    }

    /// Writes the configuration of one that is not started yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn choose(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let [client, monitor] = ports::free::<2>()?;
        let config = folder.join("nats.conf");
        let store = folder.join("store");
        let text = format!(
            "listen: \"{client}\"\nhttp: \"{monitor}\"\nserver_name: tested\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always, max_file_store: 100GB }}\n",
            store.display()
        );
        std::fs::write(&config, text)?;
        Ok(Self {
            config,
            log: folder.join("nats.log"),
            child: None,
            url: format!("nats://{client}"),
            monitor: format!("http://{monitor}"),
        })
    }

    /// Starts it again on the same files and ports.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill9()?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(binary()?);
        command.arg("-c").arg(&self.config).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("cannot start nats-server")?);
        let address = self.url.trim_start_matches("nats://").to_owned();
        wait::until("for nats-server to listen", READY_WITHIN, async || {
            Ok(TcpStream::connect(&address).await.ok())
        })
        .await
        .map(drop)
    }

    /// Ends it without a warning.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill nats-server")?;
            child.wait().context("cannot wait for nats-server")?;
        }
        Ok(())
    }

    /// The settings of a Nexus whose log is here.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![pair("NEXUS_LOG", &self.url), pair("NEXUS_NATS_MONITORS", &self.monitor)]
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // There is nobody to tell.
        drop(self.kill9());
    }
}

/// The one that `cargo xtask test` names, else the one it fetched.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("NEXUS_NATS_SERVER") {
        return Ok(PathBuf::from(named));
    }
    let test = std::env::current_exe()?;
    let found = test.ancestors().map(|folder| folder.join("tools").join("nats-server"));
    let mut found = found.filter(|path| path.is_file());
    found.next().context("there is no nats-server: run cargo xtask test, which fetches one")
}
