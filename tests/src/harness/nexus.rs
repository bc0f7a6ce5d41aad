//! A Nexus of one's own: the real binary on a folder of its own, to start, kill and stop.
//! *Invariant:* a Nexus that is dropped leaves no process behind.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::random::{Random, fresh_seed};
use super::rest::Rest;
use super::sandbox::Sandbox;
use super::shop::Shop;
use super::wait;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const READY: &str = "Nexus is ready";
/// Below the ports the system gives to outgoing connections: none of those sits on ours while it is
/// down, and no client that keeps calling a dead port connects to itself.
const KEPT_PORTS: (u64, u64) = (20_000, 32_000);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every wait of the sandboxes is divided by this.
    pub speed: f64,
    /// Listen at the same addresses after a restart.
    pub keep_ports: bool,
    /// What is logged.
    pub log: String,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { speed: 20.0, keep_ports: false, log: "info".to_owned(), environment: Vec::new() }
    }
}

impl Options {
    /// The usual ones, at this speed.
    #[must_use]
    pub fn at_speed(speed: f64) -> Self {
        Self { speed, ..Self::default() }
    }
}

/// `endpoints.json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Endpoints {
    /// REST.
    pub http: String,
    /// Webhooks.
    pub ingress: String,
    /// gRPC.
    pub grpc: String,
    /// The courier to play with.
    pub sandbox_courier: String,
    /// The channel to play with.
    pub sandbox_whatsapp: String,
}

/// A running Nexus, or one that was killed.
#[derive(Debug)]
pub struct Nexus {
    options: Options,
    listen: [SocketAddr; 3],
    folder: PathBuf,
    child: Option<Child>,
    starts: u32,
    /// Where it listens.
    pub endpoints: Endpoints,
}

impl Nexus {
    /// Starts one on an empty folder and waits until it is ready.
    ///
    /// # Errors
    /// When there is no binary, or it does not get ready.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nexus-test-").tempdir()?.keep();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = if options.keep_ports { free_ports()? } else { [any; 3] };
        let mut nexus = Self {
            options,
            listen,
            folder,
            child: None,
            starts: 0,
            endpoints: Endpoints::default(),
        };
        nexus.spawn().await?;
        Ok(nexus)
    }

    /// Starts one with a shop in it that has so many units of each article.
    ///
    /// # Errors
    /// What did not work.
    pub async fn with_shop(options: Options, units: u32) -> anyhow::Result<(Self, Shop)> {
        let nexus = Self::start(options).await?;
        let shop = Shop::open(nexus.rest()?, units).await?;
        Ok((nexus, shop))
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Files with what it printed and logged, the starts one after the other.
    #[must_use]
    pub fn outputs(&self) -> Vec<PathBuf> {
        let names = (1..=self.starts)
            .flat_map(|start| [format!("stdout.{start}"), format!("stderr.{start}")]);
        names.map(|name| self.folder.join(name)).collect()
    }

    /// Log lines and spans of all starts, as JSON.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn log_lines(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let mut lines = Vec::new();
        for start in 1..=self.starts {
            let text = std::fs::read_to_string(self.folder.join(format!("stderr.{start}")))?;
            lines.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        Ok(lines)
    }

    /// A client with the admin key.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn rest(&self) -> anyhow::Result<Rest> {
        Rest::new(&self.endpoints.http, &self.admin_key()?)
    }

    /// The API key made at the first start.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn admin_key(&self) -> anyhow::Result<String> {
        let key = std::fs::read_to_string(self.data().join("admin.key"));
        Ok(key.context("there is no admin.key")?.trim().to_owned())
    }

    /// The control side of both sandboxes.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn sandbox(&self) -> anyhow::Result<Sandbox> {
        Sandbox::new(&self.endpoints.sandbox_courier, &self.endpoints.sandbox_whatsapp)
    }

    /// Ends it without a warning, as a power cut does to a process.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill nexus")?;
            child.wait().context("cannot wait for nexus")?;
        }
        Ok(())
    }

    /// Starts it again on the same folder.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill9()?;
        self.spawn().await
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        let child = self.child.as_mut().context("nexus is not running")?;
        let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status()?;
        ensure!(asked.success(), "cannot send SIGTERM to nexus");
        let status =
            wait::until("for nexus to stop", STOPPED_WITHIN, async || Ok(child.try_wait()?))
                .await?;
        self.child = None;
        Ok(status)
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Runs another command of the binary on the same folder: `verify`, `events`, …
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn tool(&self, words: &[&str]) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(binary()?);
        command.args(words).arg("--data").arg(self.data()).stdin(Stdio::null());
        let ran = tokio::time::timeout(Duration::from_secs(120), command.output());
        Ok(ran.await.with_context(|| format!("nexus {} does not end", words.join(" ")))??)
    }

    /// `nexus verify` must find nothing.
    ///
    /// # Errors
    /// What it found.
    pub async fn verify(&self) -> anyhow::Result<()> {
        let ran = self.tool(&["verify"]).await?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let also = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "nexus verify is not green:\n{said}\n{also}");
        Ok(())
    }

    async fn spawn(&mut self) -> anyhow::Result<()> {
        let binary = binary()?;
        self.starts += 1;
        let stdout = self.folder.join(format!("stdout.{}", self.starts));
        let stderr = self.folder.join(format!("stderr.{}", self.starts));
        let [http, ingress, grpc] = self.listen;
        let mut command = Command::new(&binary);
        command
            .arg("up")
            .arg("--data")
            .arg(self.data())
            .args(["--http", &http.to_string()])
            .args(["--ingress", &ingress.to_string()])
            .args(["--grpc", &grpc.to_string()])
            .args(["--sandbox-speed", &self.options.speed.to_string()])
            .args(["--log", &self.options.log])
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?);
        let child =
            command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let child = self.child.insert(child);
        wait::until("for nexus to be ready", READY_WITHIN, async || {
            if let Some(status) = child.try_wait()? {
                bail!("nexus ended at its start ({status}):\n{}", tail(&stderr));
            }
            Ok(std::fs::read_to_string(&stdout)?.contains(READY).then_some(()))
        })
        .await
        .with_context(|| tail(&stderr))?;
        let endpoints = std::fs::read_to_string(self.data().join("endpoints.json"))?;
        self.endpoints = serde_json::from_str(&endpoints)?;
        Ok(())
    }
}

impl Drop for Nexus {
    fn drop(&mut self) {
        let ended = self.kill9();
        let keep = std::env::var_os("NEXUS_TEST_KEEP").is_some() || std::thread::panicking();
        if ended.is_ok() && !keep {
            // A folder that stays behind is a nuisance, not a failure.
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

/// The binary of the same build as the test.
fn binary() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let name = format!("nexus{}", std::env::consts::EXE_SUFFIX);
    // The test lies in target/<profile>/deps, the binary one level up.
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(&name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .context("there is no nexus: build it with cargo xtask test")
}

fn free_ports() -> anyhow::Result<[SocketAddr; 3]> {
    let mut random = Random::seeded(fresh_seed());
    let mut held = Vec::new();
    for _ in 0..1_000 {
        let port = u16::try_from(random.between(KEPT_PORTS.0, KEPT_PORTS.1))?;
        held.extend(TcpListener::bind(("127.0.0.1", port)));
        if let [http, ingress, grpc] = held.as_slice() {
            return Ok([http.local_addr()?, ingress.local_addr()?, grpc.local_addr()?]);
        }
    }
    bail!("no three ports are free between {} and {}", KEPT_PORTS.0, KEPT_PORTS.1)
}

/// The last lines of a log, for whoever reads why it failed.
fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("\"kind\":\"span\"")).collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}
