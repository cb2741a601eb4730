//! `quorate status`: what every replica says of itself.

use super::network::on_runtime;
use super::{output, print};
use crate::home::read_genesis;
use anyhow::bail;
use bft_core::genesis::Genesis;
use bft_core::request::StatusReport;
use clap::{Args, ValueEnum};
use client::{Attempts, Client, ClientConfig, ClientError};
use comfy_table::{ContentArrangement, Table, presets};
use crypto::{ClientSecret, ReplicaId};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  quorate status --genesis genesis.json               a table of all replicas
  quorate status --genesis genesis.json --replica 2   one replica, with its connections and counters
  quorate status --genesis genesis.json -o json       everything, for programs

Heights: committed (ordered for ever), executed (by this replica), stable (under a certificate of a quorum). A status is a
replica's own word, nothing is proven. Exit code 1 if no replica could be reached.";

/// How long one replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
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
    let wanted: Vec<ReplicaId> = match arguments.replica {
        None => genesis.committee().members().collect(),
        Some(replica) if genesis.committee().contains(ReplicaId(replica)) => vec![ReplicaId(replica)],
        Some(replica) => bail!(
            "the genesis has no replica {replica}; its replicas are 0 to {}",
            genesis.replicas.len().saturating_sub(1)
        ),
    };
    let rows = on_runtime(ask(&genesis, &wanted))?;
    let text = match (arguments.output, rows.as_slice()) {
        (Format::Json, rows) => serde_json::to_string_pretty(rows)?,
        (Format::Table, [row]) if arguments.replica.is_some() => one(row),
        (Format::Table, rows) => {
            format!("network {} ({})\n{}", genesis.network, genesis.chain(), lines(&table(rows)))
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
    let client = match Client::connect(ClientConfig::new(genesis.clone(), ClientSecret::generate()?)).await {
        Ok(client) => Ok(client),
        // Nobody is there. Then that is the status.
        Err(ClientError::Unreachable(attempts)) => Err(attempts),
        Err(error) => return Err(error.into()),
    };
    let asked: Vec<_> = wanted
        .iter()
        .map(|replica| {
            let (client, replica) = (client.clone(), *replica);
            let ask = async move {
                match client {
                    Ok(client) => status_of(&client, replica).await.map_err(|error| format!("{error:#}")),
                    Err(attempts) => Err(reason(&attempts, replica)),
                }
            };
            (replica, tokio::spawn(ask))
        })
        .collect();
    let mut rows = Vec::with_capacity(asked.len());
    for (replica, answer) in asked {
        let answer = match answer.await? {
            Ok(report) => Reached::Report(Box::new(report)),
            Err(why) => Reached::Error(why),
        };
        let info = &genesis.replicas[replica.index()];
        rows.push(Row {
            replica: replica.0,
            organisation: info.organisation.clone(),
            address: info.address.clone(),
            answer,
        });
    }
    Ok(rows)
}

/// A replica's report, or why there is none within a few seconds.
pub(crate) async fn status_of(client: &Client, replica: ReplicaId) -> anyhow::Result<StatusReport> {
    match tokio::time::timeout(PATIENCE, client.status(replica)).await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(ClientError::Unreachable(last) | ClientError::NoAnswer { last, .. })) => {
            bail!(reason(&last, replica))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => bail!("no answer within {} s", PATIENCE.as_secs()),
    }
}

/// What one replica did, without its name: the row has that.
fn reason(attempts: &Attempts, replica: ReplicaId) -> String {
    let why = attempts.0.get(&replica).map_or("not asked", String::as_str);
    why.trim_start_matches(&format!("{replica}: ")).to_owned()
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
fn lines(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// What it does, in a few words.
fn state(report: &StatusReport) -> String {
    let mut words = Vec::new();
    if !report.votes {
        words.push("follows, does not vote".to_owned());
    }
    if !report.active {
        words.push("changes the view".to_owned());
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
