//! `nexus events`: the log itself, one JSON line an event. It only reads, live or stopped.

use std::process::ExitCode;

use nexus_es_sqlite::SqliteStore;
use nexus_verify::{Filter, SERVICES, print_events};

use crate::cli::EventsArgs;

pub(crate) async fn run(args: EventsArgs) -> anyhow::Result<ExitCode> {
    let log = SqliteStore::open_read_only(&args.data).await?;
    let filter = Filter::of(args.aggregate.as_deref());
    let mut out = std::io::BufWriter::new(std::io::stdout());
    print_events(&*log, &SERVICES, &filter, &mut out).await?;
    Ok(ExitCode::SUCCESS)
}
