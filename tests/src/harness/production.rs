//! Nexus as it runs in production, all of whose parts can be killed and started one by one: seven
//! roles, nats-server, PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use nexus_test_postgres::{Server, StartError, TestDatabase};

use super::layout::Layout;
use super::look::Look;
use super::nexus::{Nexus, Options};
use super::seven::ROLES;
use super::wait;

/// The server that keeps the logs.
pub const NATS: &str = "nats-server";
/// The server that keeps the read models.
pub const POSTGRES: &str = "postgres";

/// All parts.
pub struct Production {
    /// The roles and nats-server.
    pub nexus: Nexus,
    postgres: Arc<Server>,
    http: reqwest::Client,
    // It goes before the server does.
    _database: TestDatabase,
}

impl Production {
    /// Starts all parts and waits until they are ready.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let postgres = Arc::new(off_thread(Server::start).await?);
        let database = TestDatabase::on(Arc::clone(&postgres))?;
        let mut environment = options.environment;
        for role in ROLES {
            let variable = format!("NEXUS_{}_DATABASE", role.to_uppercase());
            environment.push((variable, database.url()));
        }
        let layout = Layout::SevenProcessesJetStream;
        let nexus = Nexus::start(Options { layout, environment, ..options }).await?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy();
        Ok(Self { nexus, postgres, http: http.build()?, _database: database })
    }

    /// Ends a part without a warning: a role, [`NATS`] or [`POSTGRES`].
    ///
    /// # Errors
    /// When there is no such part.
    pub async fn kill(&mut self, part: &str) -> anyhow::Result<()> {
        match part {
            NATS => self.nexus.nats().context("there is no nats-server")?.kill9(),
            POSTGRES => {
                let server = Arc::clone(&self.postgres);
                off_thread(move || {
                    server.stop();
                    Ok(())
                })
                .await
            }
            role => self.nexus.kill_role(role),
        }
    }

    /// Starts a part again that was killed: roles are not waited for, servers until they listen.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self, part: &str) -> anyhow::Result<()> {
        match part {
            NATS => self.nexus.nats().context("there is no nats-server")?.restart().await,
            POSTGRES => {
                let server = Arc::clone(&self.postgres);
                off_thread(move || server.run()).await
            }
            role => self.nexus.start_role(role),
        }
    }

    /// Waits until one role says that it is ready.
    ///
    /// # Errors
    /// What it says instead when the time is over.
    pub async fn ready(&mut self, role: &str, patience: Duration) -> anyhow::Result<()> {
        let seven = self.nexus.seven().context("nexus is one process")?;
        let url = format!("{}/readyz", seven.health(role));
        let mut said = String::new();
        let what = format!("for {role} to be ready");
        let waited = wait::until(&what, patience, async || {
            let Ok(answer) = self.http.get(&url).send().await else { return Ok(None) };
            let ready = answer.status().is_success();
            said = answer.text().await.unwrap_or_default();
            Ok(ready.then_some(()))
        });
        waited.await.with_context(|| format!("it says {said:?}"))
    }

    /// Waits until all roles are ready, and none has ended meanwhile.
    ///
    /// # Errors
    /// Which is not.
    pub async fn all_ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        for role in ROLES {
            self.ready(role, patience).await?;
        }
        ensure!(self.nexus.is_running(), "a role ended by itself");
        Ok(())
    }

    /// `nexus verify --nats` must have looked at everything, and found nothing.
    ///
    /// # Errors
    /// What it found, or did not look at.
    pub async fn verify(&mut self) -> anyhow::Result<String> {
        let url = self.nexus.nats().context("there is no nats-server")?.url.clone();
        let ran = self.nexus.tool(&["verify", "--nats", &url]).await?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let also = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "nexus verify is not green:\n{said}\n{also}");
        ensure!(!said.contains("not looked at"), "nexus verify left something out:\n{said}");
        Ok(said)
    }

    /// The headlines of what is parked, for whoever reads why a test failed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn parked(&self) -> anyhow::Result<Vec<String>> {
        let parked = self.nexus.rest()?.all("/v1/parked", "parked").await?;
        let told = |one: &serde_json::Value| {
            format!("{} {}: {}", one.text("process"), one.text("key"), one.text("cause"))
        };
        Ok(parked.iter().map(told).collect())
    }
}

/// Its programs are waited for by blocking.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
