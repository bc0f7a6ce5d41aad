//! A Nexus of one's own: the real binary on a folder of its own, to start, kill and stop.
//! *Invariant:* a Nexus that is dropped leaves no process behind.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::nats::NatsServer;
use super::ports;
use super::rest::Rest;
use super::sandbox::Sandbox;
use super::seven::{self, Seven};
use super::shop::Shop;
use super::wait;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const READY: &str = "Nexus is ready";
/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every wait of the sandboxes is divided by this.
    pub speed: f64,
    /// What runs, and where its log is.
    pub layout: Layout,
    /// Listen at the same addresses after a restart.
    pub keep_ports: bool,
    /// What is logged.
    pub log: String,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            layout: Layout::of_environment(),
            speed: 20.0,
            keep_ports: false,
            log: "info".to_owned(),
            environment: Vec::new(),
        }
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
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
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
pub struct Nexus {
    options: Options,
    listen: [SocketAddr; 3],
    folder: PathBuf,
    children: Vec<Child>,
    nats: Option<NatsServer>,
    seven: Option<Seven>,
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
        let listen = if options.keep_ports { ports::free::<3>()? } else { [any; 3] };
        let nats = match options.layout {
            Layout::OneProcessSqlite => None,
            Layout::OneProcessJetStream | Layout::SevenProcessesJetStream => {
                Some(NatsServer::start(&folder.join("nats")).await?)
            }
        };
        let mut nexus = Self {
            options,
            listen,
            folder,
            children: Vec::new(),
            nats,
            seven: None,
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
        for mut child in self.children.drain(..) {
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

    /// The process of one role, where each has its own.
    ///
    /// # Errors
    /// When there is none.
    pub fn role(&mut self, role: &str) -> anyhow::Result<&mut Child> {
        let nth = seven::PROCESSES.iter().position(|name| *name == role);
        let child = nth.filter(|_| self.seven.is_some()).and_then(|nth| self.children.get_mut(nth));
        child.with_context(|| format!("{role} has no process of its own"))
    }

    /// Asks the process of one role to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub async fn terminate_role(&mut self, role: &str) -> anyhow::Result<ExitStatus> {
        let child = self.role(role)?;
        terminate(child)?;
        let what = format!("for {role} to stop");
        wait::until(&what, STOPPED_WITHIN, async || Ok(child.try_wait()?)).await
    }

    /// Starts one role again that has ended or is killed now, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn restart_role(&mut self, role: &str) -> anyhow::Result<()> {
        self.start_role(role)?;
        let log = self.log_file();
        let seven = self.seven.as_ref().context("nexus is one process")?;
        let ready = seven::ready(seven, &mut self.children, READY_WITHIN).await;
        ready.with_context(|| tail(&log))
    }

    /// Ends one role without a warning, unless it has ended.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_role(&mut self, role: &str) -> anyhow::Result<()> {
        let child = self.role(role)?;
        if child.try_wait()?.is_none() {
            child.kill().context("cannot kill a role")?;
            child.wait().context("cannot wait for a role")?;
        }
        Ok(())
    }

    /// Starts one role again that has ended or is killed now, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_role(&mut self, role: &str) -> anyhow::Result<()> {
        self.kill_role(role)?;
        let (environment, log) = (self.environment(), self.log_file());
        let seven = self.seven.as_ref().context("nexus is one process")?;
        let fresh = seven.spawn_role(role, &environment, &log)?;
        *self.role(role)? = fresh;
        Ok(())
    }

    /// Where what runs now logs.
    fn log_file(&self) -> PathBuf {
        self.folder.join(format!("stderr.{}", self.starts))
    }

    /// Where roles have processes of their own: their addresses and certificates.
    #[must_use]
    pub fn seven(&self) -> Option<&Seven> {
        self.seven.as_ref()
    }

    /// The server that keeps its log, where it is not a file.
    pub fn nats(&mut self) -> Option<&mut NatsServer> {
        self.nats.as_mut()
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        ensure!(!self.children.is_empty(), "nexus is not running");
        for child in &self.children {
            terminate(child)?;
        }
        let mut ended = ExitStatus::default();
        for child in &mut self.children {
            let waited =
                wait::until("for nexus to stop", STOPPED_WITHIN, async || Ok(child.try_wait()?));
            let status = waited.await?;
            if !status.success() {
                ended = status;
            }
        }
        self.children.clear();
        Ok(ended)
    }

    /// Whether all of its processes still run.
    pub fn is_running(&mut self) -> bool {
        let mut children = self.children.iter_mut();
        !children.as_slice().is_empty()
            && children.all(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Runs another command of the binary on the same folder: `verify`, `events`, …
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn tool(&self, words: &[&str]) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(binary()?);
        command.args(words).arg("--data").arg(self.data()).stdin(Stdio::null());
        command.envs(self.environment());
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

    /// Where its log is, for itself and for its tools.
    fn log_settings(&self) -> Vec<(String, String)> {
        self.nats.as_ref().map(NatsServer::settings).unwrap_or_default()
    }

    /// What each role is told beside its addresses.
    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.log_settings();
        environment.extend(self.options.environment.iter().cloned());
        environment.push(("NEXUS_SANDBOX_SPEED".to_owned(), self.options.speed.to_string()));
        environment.push(("NEXUS_LOG_FILTER".to_owned(), self.options.log.clone()));
        environment
    }

    /// A gRPC connection to the whole of it, as somebody outside makes it.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn grpc(&self) -> anyhow::Result<tonic::transport::Channel> {
        let endpoint = tonic::transport::Endpoint::from_shared(self.endpoints.grpc.clone())?;
        let endpoint = match &self.seven {
            None => endpoint,
            Some(seven) => endpoint.tls_config(seven.trust()?)?,
        };
        Ok(endpoint.connect().await?)
    }

    async fn spawn(&mut self) -> anyhow::Result<()> {
        match self.options.layout {
            Layout::OneProcessSqlite | Layout::OneProcessJetStream => self.spawn_one().await,
            Layout::SevenProcessesJetStream => self.spawn_seven().await,
        }
    }

    async fn spawn_seven(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let stdout = File::create(self.folder.join(format!("stdout.{}", self.starts)))?;
        drop(stdout);
        let log = self.folder.join(format!("stderr.{}", self.starts));
        let environment = self.environment();
        let seven = match self.seven.take() {
            Some(seven) => seven,
            None => {
                let seven = Seven::choose(&self.data()).await?;
                seven.init(&environment).await?;
                seven
            }
        };
        let seven = self.seven.insert(seven);
        seven.spawn(&environment, &log, &mut self.children)?;
        let ready = seven::ready(seven, &mut self.children, READY_WITHIN).await;
        ready.with_context(|| tail(&log))?;
        if self.starts == 1 {
            seven.open_accounts(&environment).await?;
        }
        self.endpoints = seven.endpoints();
        Ok(())
    }

    async fn spawn_one(&mut self) -> anyhow::Result<()> {
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
            .envs(self.log_settings())
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?);
        let child =
            command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        self.children.push(child);
        let child = self.children.last_mut().context("nexus was not started")?;
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

/// Asks a process to stop.
///
/// # Errors
/// When it cannot be asked.
pub fn terminate(child: &Child) -> anyhow::Result<()> {
    let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status()?;
    ensure!(asked.success(), "cannot send SIGTERM to nexus");
    Ok(())
}

/// The binary of the same build as the test.
pub(super) fn binary() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let name = format!("nexus{}", std::env::consts::EXE_SUFFIX);
    // The test lies in target/<profile>/deps, the binary one level up.
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(&name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .context("there is no nexus: build it with cargo xtask test")
}

/// The last lines of a log, for whoever reads why it failed.
fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("\"kind\":\"span\"")).collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}
