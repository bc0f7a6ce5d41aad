//! `nexus events`: the log itself, one JSON line an event. It only reads, live or stopped.

use std::process::ExitCode;

use nexus_verify::{Filter, SERVICES, print_events};

use crate::backend::ToRead;
use crate::cli::EventsArgs;
use crate::config::Config;

pub(crate) async fn run(args: EventsArgs) -> anyhow::Result<ExitCode> {
    let log = ToRead::open(&Config::to_read(&args.read)?, args.read.shape()).await?.log;
    let filter = Filter::of(args.aggregate.as_deref());
    let mut out = std::io::BufWriter::new(std::io::stdout());
    print_events(&*log, &SERVICES, &filter, &mut out).await?;
    Ok(ExitCode::SUCCESS)
}
