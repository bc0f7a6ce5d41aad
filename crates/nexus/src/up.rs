//! `nexus up`: everything in this process, until it is told to stop.

use std::io::IsTerminal;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::process::ExitCode;

use anyhow::Context;
use nexus_runtime::telemetry::{self, Output};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::UpArgs;
use crate::system::{Settings, System};

impl UpArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            data: self.data.clone(),
            http: self.http,
            ingress: self.ingress,
            grpc: self.grpc,
            speed: self.sandbox_speed,
            more: Vec::new(),
        }
    }

    /// A person at a terminal wants to read what follows, not JSON lines: those go to a file.
    pub(crate) fn log_output(&self, quiet: bool) -> anyhow::Result<Output> {
        if !quiet && !std::io::stderr().is_terminal() {
            return Ok(Output::Stderr);
        }
        let mut directory = std::fs::DirBuilder::new();
        let made = directory.recursive(true).mode(0o700).create(&self.data);
        made.with_context(|| format!("cannot make {}", self.data.display()))?;
        let file = self.data.join("nexus.log");
        let opened = std::fs::File::options().create(true).append(true).mode(0o600).open(&file);
        opened.map(Output::File).with_context(|| format!("cannot open {}", file.display()))
    }
}

pub(crate) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let _telemetry = telemetry::init(&args.log, args.log_output(false)?)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let settings = args.settings();
    let system = tokio::select! {
        system = System::start(&settings) => system?,
        // Nothing is half done that the next start would not finish.
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    announce(&args, &system);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("stopping");
    system.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn announce(args: &UpArgs, system: &System) {
    println!("Nexus is ready after {} ms", system.ready_after.as_millis());
    println!("  REST        {}/v1", system.endpoints.http);
    println!("  gRPC        {}", system.endpoints.grpc);
    println!("  webhooks    {}", system.endpoints.ingress);
    println!("  admin key   {}", system.admin_key_file.display());
    println!("  durability  {}", system.durability);
    if std::io::stderr().is_terminal() {
        println!("  log lines   {}", args.data.join("nexus.log").display());
    }
}
