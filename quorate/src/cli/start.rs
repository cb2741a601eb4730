//! `quorate start`: a replica, until it is told to stop.

use crate::home::{Home, read_genesis};
use anyhow::bail;
use app_examples::ledger::Ledger;
use app_examples::noop::Noop;
use bft_core::machine::StateMachine;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Example:
  quorate start --home ./north

Runs in the foreground until SIGTERM or SIGINT. Its own choices are in HOME/replica.toml:
  replica = 0                  # its number in the genesis
  listen = \"0.0.0.0:7000\"      # if not the address in the genesis
  pool_bytes, segment_bytes, flush_heights, retain_blocks, fetch_all_blocks, mtu_upper_bound
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
    let home = Home::new(arguments.home);
    let application = read_genesis(&home.genesis())?.application.name;
    let node = match application.as_str() {
        name if name == Ledger.name() => crate::node::start(Ledger, &home)?,
        name if name == Noop.name() => crate::node::start(Noop, &home)?,
        other => bail!(
            "the genesis is of the application {other:?}, and this program runs {} and {}; start the replica with the program of that application",
            Ledger.name(),
            Noop.name()
        ),
    };
    node.wait()?;
    Ok(ExitCode::SUCCESS)
}
