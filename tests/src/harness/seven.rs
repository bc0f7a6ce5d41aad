//! Nexus as a process a role: their addresses, certificates and settings, and when all are ready.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nexus_test_postgres::TestDatabase;
use tonic::transport::{Certificate, ClientTlsConfig};

use super::nexus::{Endpoints, binary};
use super::{ports, wait};

/// The roles, in no order that would help: each waits for what it needs.
pub const ROLES: [&str; 7] =
    ["gateway", "notification", "shipping", "fulfillment", "order", "inventory", "ingress"];
/// The processes that are started, one after the other.
pub const PROCESSES: [&str; 8] = [
    "gateway",
    "notification",
    "shipping",
    "fulfillment",
    "order",
    "inventory",
    "ingress",
    "sandbox",
];

/// Where the roles are.
pub struct Seven {
    /// The views of all of them: each has schemas of its own there.
    views: TestDatabase,
    binary: PathBuf,
    data: PathBuf,
    certificates: PathBuf,
    grpc: BTreeMap<&'static str, SocketAddr>,
    health: BTreeMap<&'static str, SocketAddr>,
    http: SocketAddr,
    ingress: SocketAddr,
    courier: SocketAddr,
    whatsapp: SocketAddr,
}

impl Seven {
    /// Makes certificates, and chooses addresses that stay.
    ///
    /// # Errors
    /// What could not be made.
    pub async fn choose(data: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data)?;
        let all = ports::free::<18>()?;
        let (grpc, rest) = all.split_at(ROLES.len());
        let (health, rest) = rest.split_at(ROLES.len());
        let &[http, ingress, courier, whatsapp] = rest else { bail!("too few ports") };
        let of = |addresses: &[SocketAddr]| ROLES.into_iter().zip(addresses.to_vec()).collect();
        let seven = Self {
            views: TestDatabase::create()?,
            binary: binary()?,
            data: data.to_owned(),
            certificates: data.with_file_name("certificates"),
            grpc: of(grpc),
            health: of(health),
            http,
            ingress,
            courier,
            whatsapp,
        };
        seven.certify().await?;
        Ok(seven)
    }

    /// Makes streams, the master key and the admin key.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn init(&self, environment: &[(String, String)]) -> anyhow::Result<()> {
        self.tool(&["init"], environment).await
    }

    /// Makes certificates, or renews those that are there.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn certify(&self) -> anyhow::Result<()> {
        let folder = self.certificates.display().to_string();
        self.tool(&["certs", &folder], &[]).await
    }

    async fn tool(&self, words: &[&str], environment: &[(String, String)]) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(&self.binary);
        command.args(words).envs(environment.iter().cloned()).stdin(Stdio::null());
        command.env("NEXUS_DATA", &self.data);
        let words = words.join(" ");
        let ran = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let ran = ran.with_context(|| format!("nexus {words} does not end"))??;
        let said = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "nexus {words} failed: {said}");
        Ok(())
    }

    /// Makes the sandbox accounts, over the gateway.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn open_accounts(&self, environment: &[(String, String)]) -> anyhow::Result<()> {
        let own = self.outside().map(|(name, value)| (name.to_owned(), value));
        let environment: Vec<_> = environment.iter().cloned().chain(own).collect();
        let http = format!("http://{}", self.http);
        self.tool(&["init", "--sandbox", "--http", &http], &environment).await
    }

    /// Starts the sandboxes and all roles.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn spawn(
        &self,
        environment: &[(String, String)],
        log: &Path,
        children: &mut Vec<Child>,
    ) -> anyhow::Result<()> {
        for role in PROCESSES {
            children.push(self.spawn_role(role, environment, log)?);
        }
        Ok(())
    }

    /// Starts one role, or the sandboxes.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_role(
        &self,
        role: &str,
        environment: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", role]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        for (name, address) in &self.grpc {
            let variable = format!("NEXUS_{}_ADDRESS", name.to_uppercase());
            command.env(variable, format!("https://{address}"));
        }
        if ROLES.contains(&role) {
            command.env(format!("NEXUS_{}_DATABASE", role.to_uppercase()), self.views.url());
        }
        let addresses = [
            ("NEXUS_GRPC_LISTEN", self.grpc.get(role)),
            ("NEXUS_HEALTH_LISTEN", self.health.get(role)),
            ("NEXUS_HTTP_LISTEN", Some(&self.http)),
            ("NEXUS_INGRESS_LISTEN", Some(&self.ingress)),
            ("NEXUS_SANDBOX_COURIER_LISTEN", Some(&self.courier)),
            ("NEXUS_SANDBOX_WHATSAPP_LISTEN", Some(&self.whatsapp)),
        ];
        for (variable, address) in addresses {
            command.envs(address.map(|address| (variable, address.to_string())));
        }
        let file = |name: String| self.certificates.join(name);
        command
            .env("NEXUS_DATA", &self.data)
            .env("NEXUS_TLS_CERT_FILE", file(format!("{role}.pem")))
            .env("NEXUS_TLS_KEY_FILE", file(format!("{role}.key")))
            .env("NEXUS_TLS_CA_FILE", file("ca.pem".to_owned()))
            .envs(self.outside())
            .envs(environment.iter().cloned());
        command.spawn().with_context(|| format!("cannot start {role}"))
    }

    /// Where couriers and channels are, and where they reach us.
    fn outside(&self) -> [(&'static str, String); 4] {
        let url = |address: SocketAddr| format!("http://{address}");
        [
            ("NEXUS_SHIPPING_BOSTA_SANDBOX_URL", url(self.courier)),
            ("NEXUS_SHIPPING_INGRESS_URL", url(self.ingress)),
            ("NEXUS_NOTIFICATION_WHATSAPP_SANDBOX_URL", url(self.whatsapp)),
            ("NEXUS_NOTIFICATION_INGRESS_URL", url(self.ingress)),
        ]
    }

    /// The addresses that callers from outside use.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        let url = |address: SocketAddr| format!("http://{address}");
        let grpc = self.grpc.get("gateway").map(|address| format!("https://{address}"));
        Endpoints {
            http: url(self.http),
            ingress: url(self.ingress),
            grpc: grpc.unwrap_or_default(),
            sandbox_courier: url(self.courier),
            sandbox_whatsapp: url(self.whatsapp),
        }
    }

    /// What a caller without a certificate trusts.
    ///
    /// # Errors
    /// When the authority's certificate cannot be read.
    pub fn trust(&self) -> anyhow::Result<ClientTlsConfig> {
        let authority = std::fs::read(self.certificates.join("ca.pem"))?;
        let authority = Certificate::from_pem(authority);
        Ok(ClientTlsConfig::new().ca_certificate(authority).domain_name("gateway"))
    }

    /// Where `role` tells how it stands.
    #[must_use]
    pub fn health(&self, role: &str) -> String {
        let address = self.health.get(role);
        address.map(|address| format!("http://{address}")).unwrap_or_default()
    }

    fn probes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let probes = self.health.iter();
        probes.map(|(role, address)| (*role, format!("http://{address}/readyz")))
    }
}

/// Waits until all roles are ready.
///
/// # Errors
/// Who did not get ready, and what it waits for.
pub async fn ready(
    seven: &Seven,
    children: &mut [Child],
    patience: Duration,
) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let doors = [format!("http://{}/readyz", seven.http), format!("http://{}/", seven.ingress)];
    for (role, url) in seven.probes().chain(doors.into_iter().map(|url| ("a door", url))) {
        let mut last = String::new();
        let waited = wait::until("for a role to be ready", patience, async || {
            for child in &mut *children {
                if let Some(status) = child.try_wait()? {
                    bail!("a role ended at its start ({status})");
                }
            }
            let Ok(answer) = http.get(&url).send().await else { return Ok(None) };
            let ready = answer.status().is_success() || answer.status().as_u16() == 404;
            last = answer.text().await.unwrap_or_default();
            Ok(ready.then_some(()))
        });
        waited.await.with_context(|| format!("{role} says {last:?}"))?;
    }
    let endpoints = serde_json::to_string_pretty(&seven.endpoints())?;
    std::fs::write(seven.data.join("endpoints.json"), endpoints)?;
    Ok(())
}
