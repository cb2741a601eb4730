//! The command line: what every command takes, and how it ends.
//!
//! Results go to standard output, everything else to standard error. The exit code is 0 when what was asked for was done, 1
//! for an error, 2 for a command line that is not understood, [`REFUSED`] for a transaction that the network refused, and
//! [`UNKNOWN`] for one whose outcome is not known.

mod evidence;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod genesis;
mod hexadecimal;
mod init;
mod keygen;
mod network;
mod output;
pub(crate) mod query;
mod start;
pub(crate) mod status;
mod tx;
pub(crate) mod verify;

pub(crate) use files::{ReceiptFile, SavedTransaction, read_json, read_receipt, write_json};
pub(crate) use network::{connect_as_stranger, connect_patiently, on_runtime};
pub(crate) use output::print;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Exit code: the transaction was refused, with a proven receipt or by replicas of which one is honest.
pub const REFUSED: u8 = 3;
/// Exit code: it is not known what became of the transaction; `tx retry` is safe.
pub const UNKNOWN: u8 = 4;

const FIRST_STEPS: &str = "\
First steps:
  quorate demo                                   a consortium of four on this machine, with a crash in the middle
  quorate demo --keep                            the same, left running to play with

A network of your own:
  quorate keygen member --organisation north-bank --address host-a:7000 --home ./a      (each member)
  quorate genesis --network pilot --member a/member.json --member b/member.json ... --app-config ledger.toml \\
      --scheme ed25519 --out genesis.json                                                (one for all)
  quorate init --home ./a --genesis genesis.json --replica 0                            (each member)
  quorate start --home ./a                                                               (each member)

Logs go to standard error; QUORATE_LOG=debug (or net=debug,warn) says how much.
Exit codes: 0 done, 1 error, 2 usage, 3 transaction refused, 4 outcome of a transaction unknown.";

/// Byzantine fault tolerant replication for a consortium: replicas, clients and proofs.
#[derive(Debug, Parser)]
#[command(name = "quorate", bin_name = "quorate", version, after_help = FIRST_STEPS, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(keygen::Arguments),
    Genesis(genesis::Arguments),
    Init(init::Arguments),
    Start(start::Arguments),
    Tx(tx::Arguments),
    Query(query::Arguments),
    Status(status::Arguments),
    Evidence(evidence::Arguments),
    Verify(verify::Arguments),
    Demo(crate::demo::Arguments),
    /// Measure protocols: what they send and sign, and what they do under load.
    #[command(
        subcommand,
        after_help = "Examples:\n  quorate bench complexity --quick\n  quorate bench load --quick\n  quorate bench scale --quick"
    )]
    Bench(Bench),
}

/// What is measured.
#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// Throughput, latency and cost under a closed loop of signed ledger transactions.
    ///
    /// Starts replica processes on this machine, saturates them, and prints what a transaction costs: CPU time of all
    /// replicas, log bytes and syncs, bytes between replicas, memory, and how fast a restarted replica catches up.
    ///
    /// Example: quorate bench load --quick
    Load(bench::load::LoadArguments),
    /// Throughput and latency of 4 to 128 replicas, simulated with what work costs on this machine.
    ///
    /// Production hosts and engines run in virtual time, on machines with cores whose time is charged by measured prices, over links with latency and
    /// bandwidth. --validate compares it with real replicas at n = 4 and 7.
    ///
    /// Example: quorate bench scale --quick --network five-regions
    Scale(bench::scale::ScaleArguments),
    /// Messages, bytes, signatures and message delays, protocol against protocol, beside their formulas.
    ///
    /// Counts them for a block, a transaction alone, a leader that fails and a replica that comes back: in the simulator for
    /// committees of 4 to 100 replicas, and over real QUIC for small ones. Exit code 1 says that a count is more than 5 % off its formula, an
    /// exponent more than 0.05, or QUIC and simulator differ.
    ///
    /// Example: quorate bench complexity --quick --html complexity.html
    Complexity(bench::complexity::ComplexityArguments),
}

fn load(arguments: &bench::load::LoadArguments) -> anyhow::Result<ExitCode> {
    bench::load::run(arguments, std::env::current_exe()?)?;
    Ok(ExitCode::SUCCESS)
}

fn scale(arguments: &bench::scale::ScaleArguments) -> anyhow::Result<ExitCode> {
    bench::scale::run(arguments, &std::env::current_exe()?)?;
    Ok(ExitCode::SUCCESS)
}

fn complexity(arguments: &bench::complexity::ComplexityArguments) -> anyhow::Result<ExitCode> {
    bench::complexity::run(arguments, &std::env::current_exe()?)?;
    Ok(ExitCode::SUCCESS)
}

/// The program, on the process's own arguments.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// The program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command,
        Err(error) => {
            // A closed pipe is the only thing that can go wrong, and nobody would read about it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    begin_logging(&command);
    let done = match command {
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::Genesis(arguments) => genesis::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Start(arguments) => start::run(arguments),
        Command::Tx(arguments) => tx::run(arguments),
        Command::Query(arguments) => query::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Evidence(arguments) => evidence::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Demo(arguments) => crate::demo::run(arguments),
        Command::Bench(Bench::Load(arguments)) => load(&arguments),
        Command::Bench(Bench::Complexity(arguments)) => complexity(&arguments),
        Command::Bench(Bench::Scale(arguments)) => scale(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("error: {}", output::causes(&error)));
            ExitCode::FAILURE
        }
    }
}

fn begin_logging(command: &Command) {
    let default = if matches!(command, Command::Start(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("QUORATE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // Fails only if a caller of this library has set up logging of its own, which then stands.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("quorate {name}")), "{name} has no example");
        }
    }
}
