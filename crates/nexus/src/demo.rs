//! `nexus demo`: one order from created to delivered, on a Nexus of its own, by REST alone.
//! *Invariant:* it ends well only if the order was delivered, the customer read every message and
//! `verify` found nothing.

mod ending;
mod floor;
mod goods;
mod guide;
mod road;
mod sale;
mod screen;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use nexus_runtime::telemetry;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::DemoArgs;
use crate::client::Client;
use crate::system::System;
use guide::Guide;
use screen::Screen;

/// What the walk left to be seen.
pub(crate) struct Walked {
    pub(crate) order_id: String,
    pub(crate) before: Vec<goods::Stock>,
    pub(crate) after: Vec<goods::Stock>,
    pub(crate) road: road::Road,
    pub(crate) label: std::path::PathBuf,
}

/// Runs the demo; `verify` tells whether the logs and views of a directory hold together.
pub(crate) async fn run(
    args: DemoArgs,
    verify: impl AsyncFnOnce(&Path) -> anyhow::Result<bool>,
) -> anyhow::Result<ExitCode> {
    let _telemetry = telemetry::init(&args.up.log, args.up.log_output(true)?)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stays = std::io::stdout().is_terminal() && !args.exit;
    let system = System::start(&args.up.settings()).await?;
    let screen = Screen::of_this_terminal();
    println!(
        "{}\nNexus is ready after {}; log lines go to {}",
        screen.bold("One order, from created to delivered"),
        screen::took(system.ready_after),
        args.up.data.join("nexus.log").display()
    );
    let shown = tokio::select! {
        shown = Box::pin(show(&args, &system, screen, verify)) => shown,
        _ = interrupt.recv() => Ok(false),
        _ = terminate.recv() => Ok(false),
    };
    let well = match shown {
        Ok(well) => well,
        Err(error) => {
            system.stop().await;
            return Err(error);
        }
    };
    if stays {
        println!("\nNexus goes on at {}/v1 until Ctrl-C", system.endpoints.http);
        println!("admin key: {}", system.admin_key_file.display());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    system.stop().await;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(
    args: &DemoArgs,
    system: &System,
    screen: Screen,
    verify: impl AsyncFnOnce(&Path) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let client = Client::new(&system.endpoints.http, &args.up.data)?;
    let mut guide = Guide::new(client, screen);
    let walked = walk(&mut guide, args).await?;
    ending::tables(&guide, &walked);
    let verified = verify(&args.up.data).await?;
    Ok(ending::verdict(&guide, &walked, verified))
}

/// The ten steps.
async fn walk(guide: &mut Guide, args: &DemoArgs) -> anyhow::Result<Walked> {
    let before = goods::on_the_shelf(guide).await?;
    let contact_id = sale::a_customer(guide).await?;
    let order_id = sale::an_order(guide, &contact_id).await?;
    sale::confirmed(guide).await?;
    let list = floor::a_pick_list(guide).await?;
    floor::picked(guide, &list).await?;
    floor::packed(guide).await?;
    let parcel = road::an_awb(guide, &args.up.data).await?;
    road::handed_over(guide, &parcel).await?;
    let road = road::delivered(guide, &parcel, args.up.sandbox_speed).await?;
    let after = goods::stock(guide).await?;
    Ok(Walked { order_id, before, after, road, label: parcel.label })
}
