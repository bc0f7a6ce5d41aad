//! `nexus init`: what a deployment needs before its roles start: the master key, streams and
//! buckets, an admin key; and sandbox accounts when asked. At later runs it finds them made.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use nexus_gateway::Keys;
use nexus_runtime::Role;

use crate::backend::{Backend, NotYet, options};
use crate::cli::InitArgs;
use crate::client::Client;
use crate::config::{Config, Given, LogAt, Shape};
use crate::first_start;
use crate::node;
use crate::root::Root;

pub(crate) async fn run(args: InitArgs) -> anyhow::Result<ExitCode> {
    let given = Given::load(args.config.as_deref())?;
    let config = Config::read(&given, Shape::All)?;
    let LogAt::Nats(urls) = &config.log else {
        bail!("NEXUS_LOG names no NATS server; `nexus up` needs no `nexus init`")
    };
    let options = options(&config, urls, Shape::All)?;
    let durability = nexus_es_jetstream::provision(options).await?;
    println!("streams     made and checked, durability: {}", durability.name);
    let backend = match Backend::open(&config, Shape::All).await {
        Ok(backend) => backend,
        Err(NotYet::Refused(error)) => return Err(error),
        Err(NotYet::Waiting(what)) => bail!("{what}"),
    };
    let made = make_keys(&config, &backend).await;
    backend.close().await;
    made?;
    if args.sandbox {
        let client = Client::with_key(&args.http, &config.admin_key())?;
        let sandbox = &config.services.notification.whatsapp_sandbox_url;
        let [courier, channel] = first_start::accounts_over_rest(&client, sandbox).await?;
        println!("courier     {courier}");
        println!("channel     {channel}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn make_keys(config: &Config, backend: &Backend) -> anyhow::Result<()> {
    let empty = backend.is_empty(&Role::ALL.map(Role::name)).await?;
    let root = Root::load_or_make(&config.master_key(), empty)?;
    println!("master key  {}", config.master_key().display());
    let ports = node::bare_ports(config, backend, &root)?;
    let keys = Keys::start(Arc::clone(&ports.log), &ports.tasks).await?;
    first_start::admin_key(&ports, &keys, &config.admin_key()).await?;
    println!("admin key   {}", config.admin_key().display());
    ports.tasks.shut_down(std::time::Duration::from_secs(5)).await;
    Ok(())
}
