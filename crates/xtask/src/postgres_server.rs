//! One PostgreSQL for all tests of views, from the programs of this machine, which are installed
//! where they are missing and that is possible.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use nexus_test_postgres::{Server, StartError};

use crate::run_tests::in_words;

const APT: &str = "/usr/bin/apt-get";

/// A server that runs as long as the answer lives.
pub(crate) fn start() -> anyhow::Result<Server> {
    let server = match Server::start() {
        Err(missing @ StartError::Missing) => {
            install(missing)?;
            Server::start()
        }
        started => started,
    }?;
    println!("xtask: PostgreSQL listens in {}", server.socket().display());
    Ok(server)
}

fn install(missing: StartError) -> anyhow::Result<()> {
    if !Path::new(APT).is_file() {
        return Err(missing.into());
    }
    for words in [&["update"][..], &["install", "--yes", "--no-install-recommends", "postgresql"]] {
        let mut command = Command::new(APT);
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        println!("xtask: {}", in_words(&command));
        let status = command.status().with_context(|| format!("cannot start {APT}"))?;
        ensure!(status.success(), "{missing}; `{}` ended with {status}", in_words(&command));
    }
    Ok(())
}
