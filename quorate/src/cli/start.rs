//! `quorate start`: a replica, until it is told to stop.

use crate::home::Home;
use app_examples::ledger::Ledger;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Example:
  quorate start --home ./north

Runs in the foreground until SIGTERM or SIGINT. Its own choices are in HOME/replica.toml:
  replica = 0                  # its number in the genesis
  listen = \"0.0.0.0:7000\"      # if not the address in the genesis
  pool_bytes, segment_bytes, flush_heights, retain_blocks, fetch_all_blocks
  [peers]                      # where to reach others, if not at their addresses in the genesis; last in the file
  2 = \"10.8.0.3:7000\"

QUORATE_LOG=debug says more on standard error.";

/// Run a replica.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The replica's home, made by `quorate init`.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    crate::node::start(Ledger, &Home::new(arguments.home))?.wait()?;
    Ok(ExitCode::SUCCESS)
}
