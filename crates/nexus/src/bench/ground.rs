//! Where the log of a run is: a file on the disk that is measured, or a NATS server.
//! *Invariant:* a server that keeps a Nexus is not measured, and of what a run makes nothing stays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, Context as JetStream};
use futures::TryStreamExt;
use nexus_es_jetstream::{Options, SERVICES};

use super::probe::{self, Probe};
use super::raw::{self, How};
use super::server::{Server, Sync};
use crate::backend;
use crate::config::{Config, Given, LogAt, Shape};

/// The service whose log the handler itself is measured on.
pub(crate) const SERVICE: &str = "bench";

pub(crate) struct Ground {
    pub(crate) dir: PathBuf,
    nats: Option<Nats>,
}

struct Nats {
    config: Config,
    urls: Vec<String>,
    more: Vec<(&'static str, String)>,
    jetstream: JetStream,
    /// Ends after what uses it.
    server: Option<Server>,
}

impl Ground {
    /// The log is in `dir`.
    pub(crate) fn embedded(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), nats: None }
    }

    /// The log is on a server of the run's own.
    pub(crate) async fn own_server(program: &Path, dir: &Path, sync: Sync) -> anyhow::Result<Self> {
        let server = Server::start(program, dir, sync).await?;
        let more = vec![("NEXUS_NATS_MONITORS", server.monitor.clone())];
        let url = server.url.clone();
        Self::on(dir, &url, more, Some(server)).await
    }

    /// The log is on the server at `url`.
    pub(crate) async fn server(url: &str, dir: &Path) -> anyhow::Result<Self> {
        Self::on(dir, url, Vec::new(), None).await
    }

    async fn on(
        dir: &Path,
        url: &str,
        mut more: Vec<(&'static str, String)>,
        server: Option<Server>,
    ) -> anyhow::Result<Self> {
        more.push(("NEXUS_LOG", url.to_owned()));
        // What an acknowledgement is worth is printed with each figure.
        more.push(("NEXUS_DURABILITY_UNVERIFIED", "yes".to_owned()));
        let mut given = Given::load(None)?;
        more.iter().for_each(|(name, value)| given.unless_given(name, value));
        let config = Config::read(&given, Shape::All)?;
        let LogAt::Nats(urls) = config.log.clone() else {
            bail!("NEXUS_LOG is {}: unset it to measure {url}", config.log);
        };
        ensure!(urls.iter().any(|known| known == url), "NEXUS_LOG is not {url}: unset it");
        let jetstream = jetstream::new(connect(&config, url).await?);
        let ground = Self {
            dir: dir.to_owned(),
            nats: Some(Nats { config, urls, more, jetstream, server }),
        };
        let there = ground.ours().await?;
        ensure!(
            there.is_empty(),
            "the server at {url} keeps a Nexus ({}): measure another one, or give --nats-server",
            there.into_iter().collect::<Vec<_>>().join(", ")
        );
        Ok(ground)
    }

    /// Settings that a Nexus needs to use this log.
    pub(crate) fn more(&self) -> Vec<(&'static str, String)> {
        self.nats.as_ref().map(|nats| nats.more.clone()).unwrap_or_default()
    }

    /// The server, as everybody's client sees it.
    pub(crate) fn jetstream(&self) -> Option<&JetStream> {
        self.nats.as_ref().map(|nats| &nats.jetstream)
    }

    /// How the log of [`SERVICE`] is reached.
    pub(crate) fn options(&self) -> anyhow::Result<Option<Options>> {
        let Some(nats) = &self.nats else { return Ok(None) };
        let options = backend::options(&nats.config, &nats.urls, Shape::All)?;
        Ok(Some(Options { services: vec![SERVICE.to_owned()], ..options }))
    }

    /// What figures are ratios to.
    pub(crate) fn yardstick(&self, in_flight: usize) -> String {
        match &self.nats {
            None => "L1".to_owned(),
            Some(_) => format!("raw publish, {in_flight} in flight"),
        }
    }

    /// Measures that now.
    pub(crate) async fn measure(&self, in_flight: usize) -> anyhow::Result<Probe> {
        match &self.nats {
            None => probe::measure(&self.dir),
            Some(nats) => raw::publish(&nats.jetstream, in_flight, How::Plain).await,
        }
    }

    /// Messages that the server stored so far, those of the raw probe left out: on one replica
    /// that syncs always, each is a sync.
    pub(crate) async fn stored(&self) -> anyhow::Result<u64> {
        let Some(nats) = &self.nats else { return Ok(0) };
        let streams: Vec<_> = nats.jetstream.streams().try_collect().await?;
        let others = streams.iter().filter(|stream| stream.config.name != raw::STREAM);
        Ok(others.map(|stream| stream.state.last_sequence).sum())
    }

    /// Commits a sync, where the syncs are known. `syncs` are those of this process.
    pub(crate) fn commits_per_fsync(
        &self,
        durability: &str,
        commits: u64,
        syncs: u64,
        stored: u64,
    ) -> Option<f64> {
        let syncs = match &self.nats {
            None => syncs,
            Some(nats) if nats.config.nats.replicas == 1 && durability.starts_with("strict") => {
                stored
            }
            Some(_) => return None,
        };
        Some(super::count(commits) / super::count(syncs.max(1)))
    }

    /// Takes away what the run made on a server that goes on.
    pub(crate) async fn leave(self) -> anyhow::Result<()> {
        let ours = self.ours().await?;
        let Some(nats) = self.nats.filter(|nats| nats.server.is_none()) else { return Ok(()) };
        for stream in ours {
            nats.jetstream.delete_stream(&stream).await?;
        }
        Ok(())
    }

    /// The streams of a Nexus and of this benchmark that are there.
    async fn ours(&self) -> anyhow::Result<BTreeSet<String>> {
        let Some(nats) = &self.nats else { return Ok(BTreeSet::new()) };
        let names: Vec<String> = nats.jetstream.stream_names().try_collect().await?;
        let logs: BTreeSet<String> =
            SERVICES.iter().chain([&SERVICE]).map(|service| service.to_uppercase()).collect();
        let is_ours = |name: &String| {
            logs.contains(name)
                || *name == raw::STREAM
                || name.starts_with("KV_nexus_")
                || name.starts_with("OBJ_nexus_")
        };
        Ok(names.into_iter().filter(is_ours).collect())
    }
}

async fn connect(config: &Config, url: &str) -> anyhow::Result<async_nats::Client> {
    let mut options = ConnectOptions::new().name("nexus bench");
    if let Some(file) = &config.nats.seed_file {
        let seed = std::fs::read_to_string(file);
        let seed = seed.with_context(|| format!("cannot read {}", file.display()))?;
        options = options.nkey(seed.trim().to_owned());
    }
    if let Some(file) = &config.nats.ca_file {
        options = options.add_root_certificates(file.clone()).require_tls(true);
    }
    options.connect(url).await.with_context(|| format!("cannot connect to NATS at {url}"))
}
