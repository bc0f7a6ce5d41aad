//! `nexus verify`: do logs and views hold together? It only reads, live or stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use nexus_es::EventLog;
use nexus_es::ports::KeyStore;
use nexus_es::seal::Vault;
use nexus_es::tasks::Tasks;
use nexus_es::views::{Database, Views, ViewsConfig};
use nexus_verify::{Report, SERVICES, ViewsOf, verify_log, verify_views};

use crate::backend::ToRead;
use crate::cli::DataArgs;
use crate::config::{Config, views_dir};
use crate::root::Root;

const POLL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn run(args: DataArgs) -> anyhow::Result<ExitCode> {
    let report = report(&args.data).await?;
    print!("{report}");
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the logs against themselves and each other, and the views against the logs.
pub(crate) async fn report(data: &Path) -> anyhow::Result<Report> {
    let config = Config::of_data(data)?;
    let ToRead { log, keys } = ToRead::open(&config).await?;
    let logs = verify_log(log.clone(), &SERVICES).await.context("the logs cannot be checked")?;
    let views = builders(&config, keys, &log)?;
    let views = verify_views(log, &SERVICES, &views_dir(data), &views).await;
    Ok(logs.merged(views.context("the views cannot be checked")?))
}

/// How each service's views are built anew, in another directory.
fn builders(
    config: &Config,
    keys: Arc<dyn KeyStore>,
    log: &Arc<dyn EventLog>,
) -> anyhow::Result<Vec<ViewsOf>> {
    let vault = Arc::new(Vault::new(keys, Root::load(&config.master_key())?.masters()?));
    let (order, shipping, notification) = (vault.clone(), vault.clone(), vault);
    Ok(vec![
        builder("gateway", nexus_gateway::views_config, log),
        builder("inventory", nexus_inventory::views_config, log),
        builder("fulfillment", nexus_fulfillment::views_config, log),
        builder("ingress", nexus_ingress::views_config, log),
        builder("order", move |dir| nexus_order::views_config(dir, &order), log),
        builder("shipping", move |dir| nexus_shipping::views_config(dir, &shipping), log),
        builder(
            "notification",
            move |dir| nexus_notification::views_config(dir, &notification),
            log,
        ),
    ])
}

fn builder(
    service: &'static str,
    config: impl Fn(Database) -> ViewsConfig + Send + Sync + 'static,
    log: &Arc<dyn EventLog>,
) -> ViewsOf {
    let log = Arc::clone(log);
    let build = move |dir: PathBuf| {
        let built = build(config(dir.into()), Arc::clone(&log));
        async move { built.await.map_err(|error| format!("{error:#}")) }.boxed()
    };
    ViewsOf { service, build: Box::new(build) }
}

/// Feeds new views from the log, and answers the digest of their rows.
async fn build(config: ViewsConfig, log: Arc<dyn EventLog>) -> anyhow::Result<String> {
    let tasks = Tasks::default();
    let views = Views::start(config, log, tasks.clone()).await?;
    let mut poll = tokio::time::interval(POLL);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !views.caught_up().await? {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "the views did not catch up");
        poll.tick().await;
    }
    let digest = views.content_hash().await?;
    tasks.shut_down(Duration::from_secs(5)).await;
    Ok(digest)
}
