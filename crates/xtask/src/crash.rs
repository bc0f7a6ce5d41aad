//! `cargo xtask crash`: the crash test, longer than a change has to wait for.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]

use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::run_tests::{build_command, exit_code, in_words};
use crate::{nats_server, postgres_server, repository};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often to kill it.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Kill single roles, nats-server and PostgreSQL of a production, instead of `nexus up` whole.
    #[arg(long)]
    production: bool,
    /// The seed that a run printed, to make its choices again.
    #[arg(long)]
    seed: Option<u64>,
    /// Without optimisation, which is slower to run and faster to build.
    #[arg(long)]
    debug: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let root = repository::root()?;
    if options.production {
        nats_server::ensure(&repository::target_dir(&root)?, None)?;
        // The test starts one of its own; here it is made sure that there is any.
        drop(postgres_server::start()?);
    }
    for mut command in [build_command(!options.debug), crash_command(options)] {
        command.current_dir(&root);
        println!("xtask: {}", in_words(&command));
        let status = command.status();
        let status = status.with_context(|| format!("cannot start {}", in_words(&command)))?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Not by the usual test runner, which ends whatever takes longer than a few minutes.
fn crash_command(options: &Options) -> Command {
    let mut command = Command::new("cargo");
    command.args(["test", "--package", "nexus-tests", "--test", "crash"]);
    if !options.debug {
        command.arg("--release");
    }
    let which = if options.production { "production::" } else { "whole::" };
    command.args(["--", "--nocapture", which]);
    command.env("NEXUS_TEST_KILLS", options.kills.to_string());
    if let Some(seed) = options.seed {
        command.env("NEXUS_TEST_SEED", seed.to_string());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_kills_and_the_seed_reach_the_test() {
        let options = Options { kills: 50, production: false, seed: Some(7), debug: true };
        let command = crash_command(&options);
        let set: Vec<_> = command.get_envs().filter_map(|(_, value)| value).collect();
        assert_eq!(set, ["50", "7"]);
        assert!(in_words(&command).ends_with("--test crash -- --nocapture whole::"));
        let command = crash_command(&Options { production: true, ..options });
        assert!(in_words(&command).ends_with("production::"));
    }
}
