//! `quorate status`: what every replica says of itself.

use super::network::{ask_each, chosen, on_runtime, patiently};
use super::output::{self, Format};
use super::print;
use crate::home::read_genesis;
use bench::choice;
use bft_core::genesis::Genesis;
use bft_core::request::StatusReport;
use clap::Args;
use client::Client;
use comfy_table::{ContentArrangement, Table, presets};
use crypto::ReplicaId;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  quorate status --genesis genesis.json               a table of all replicas
  quorate status --genesis genesis.json --replica 2   one replica, with its connections and counters
  quorate status --genesis genesis.json -o json       everything, for programs

Heights: committed (ordered for ever), executed (by this replica), stable (under a certificate of a quorum). A status is a
replica's own word, nothing is proven. Exit code 1 if no replica could be reached.";

/// Show what the replicas say of themselves.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What the members agreed on.
    #[arg(long, value_name = "FILE", env = "QUORATE_GENESIS")]
    genesis: PathBuf,
    /// Only this replica.
    #[arg(long, value_name = "N")]
    replica: Option<u16>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// One replica.
#[derive(Debug, Serialize)]
struct Row {
    replica: u16,
    organisation: String,
    address: String,
    /// Its report, or why there is none.
    #[serde(flatten)]
    answer: Reached,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reached {
    Report(Box<StatusReport>),
    Error(String),
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let genesis = read_genesis(&arguments.genesis)?;
    let wanted = chosen(&genesis, arguments.replica)?;
    let rows = on_runtime(ask(&genesis, &wanted))?;
    let text = match (arguments.output, rows.as_slice()) {
        (Format::Json, rows) => serde_json::to_string_pretty(rows)?,
        (Format::Table, [row]) if arguments.replica.is_some() => one(row),
        (Format::Table, rows) => {
            let protocol = choice::in_words(genesis.protocol, &genesis.limits);
            let table = lines(&table(rows));
            format!("network {} ({}), protocol {protocol}\n{table}", genesis.network, genesis.chain())
        }
    };
    print(&text);
    let reached = rows.iter().any(|row| matches!(row.answer, Reached::Report(_)));
    if !reached {
        output::complain(
            "error: no replica could be reached; check that they run, and that the addresses in the genesis are right",
        );
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(genesis: &Genesis, wanted: &[ReplicaId]) -> anyhow::Result<Vec<Row>> {
    let answers =
        ask_each(genesis, wanted, |client, replica| async move { status_of(&client, replica).await }).await?;
    let row = |(replica, answer): (ReplicaId, Result<StatusReport, String>)| {
        let info = &genesis.replicas[replica.index()];
        Row {
            replica: replica.0,
            organisation: info.organisation.clone(),
            address: info.address.clone(),
            answer: answer.map_or_else(Reached::Error, |report| Reached::Report(Box::new(report))),
        }
    };
    Ok(answers.into_iter().map(row).collect())
}

/// A replica's report, or why there is none within a few seconds.
pub(crate) async fn status_of(client: &Client, replica: ReplicaId) -> anyhow::Result<StatusReport> {
    patiently(replica, client.status(replica)).await
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header([
        "replica",
        "organisation",
        "view",
        "leader",
        "committed",
        "executed",
        "stable",
        "peers",
        "pool",
        "state",
    ]);
    for Row { replica, organisation, answer, .. } in rows {
        let name = format!("r{replica}");
        match answer {
            Reached::Report(report) => {
                let up = report.peers.iter().filter(|peer| peer.connected).count();
                table.add_row([
                    name,
                    organisation.clone(),
                    report.view.to_string(),
                    report.leader.to_string(),
                    report.committed.to_string(),
                    report.executed.to_string(),
                    report.stable.to_string(),
                    format!("{up}/{}", report.peers.len()),
                    report.pooled.to_string(),
                    state(report),
                ]);
            }
            Reached::Error(why) => {
                let none = || "-".to_owned();
                let error = format!("unreachable: {why}");
                table.add_row([
                    name,
                    organisation.clone(),
                    none(),
                    none(),
                    none(),
                    none(),
                    none(),
                    none(),
                    none(),
                    error,
                ]);
            }
        }
    }
    table
}

/// A table without the spaces behind its lines.
pub(super) fn lines(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// What it does, in a few words.
fn state(report: &StatusReport) -> String {
    let mut words = Vec::new();
    if !report.votes {
        words.push("follows, does not vote".to_owned());
    }
    if !report.active {
        words.push("has given up the leader".to_owned());
    }
    if report.evidence > 0 {
        let lies = if report.evidence == 1 { "lie" } else { "lies" };
        words.push(format!("can prove {} {lies} (`quorate evidence`)", report.evidence));
    }
    words.extend(report.waits_for.iter().map(|what| format!("waits for {what}")));
    if words.is_empty() { "ok".to_owned() } else { words.join("; ") }
}

fn one(row: &Row) -> String {
    let Row { replica, organisation, address, answer } = row;
    let head = format!("replica {replica} ({organisation}) at {address}");
    let report = match answer {
        Reached::Report(report) => report,
        Reached::Error(why) => return format!("{head}\nunreachable: {why}"),
    };
    let StatusReport {
        chain,
        epoch,
        protocol,
        view,
        leader,
        committed,
        executed,
        stable,
        state_root,
        pooled,
        ..
    } = &**report;
    let root = state_root.map_or_else(|| "-".to_owned(), |root| root.to_string());
    let mut text = format!(
        "{head}\nchain {chain}\nprotocol {protocol}, epoch {epoch}, view {view}, leader {leader}\nstate {}\n\
         committed {committed}, executed {executed}, stable {stable}\nstate root {root}\npool {pooled} transactions\npeers",
        state(report)
    );
    for peer in &report.peers {
        let state = match (peer.connected, &peer.last_error) {
            (true, _) => format!("connected, round trip {} µs", peer.rtt_us),
            (false, Some(why)) => format!("not connected: {why}"),
            (false, None) => "not connected yet".to_owned(),
        };
        text += &format!("\n  {} {}: {state}", peer.replica, peer.address);
    }
    text += "\ncounters";
    for (name, value) in &report.counters {
        text += &format!("\n  {name} {value}");
    }
    text
}
