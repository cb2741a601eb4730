//! `quorate evidence`: which replicas were caught lying, and how to show it to others.

use super::network::{ask_each, chosen, on_runtime, patiently};
use super::output::{self, Format};
use super::print;
use super::status::lines;
use crate::evidence::{EvidenceDir, read};
use crate::home::{Home, read_genesis};
use anyhow::Context;
use bft_core::committee::Trust;
use bft_core::evidence::{Evidence, verify};
use bft_core::genesis::Genesis;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use crypto::{Digest, ReplicaId};
use engines::AnyMessage;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  quorate evidence --genesis genesis.json                          ask all replicas what they can prove
  quorate evidence --genesis genesis.json --save ./lies            the same, and keep it in files
  quorate evidence --home ./north                                  what this home's replica has kept, running or not
  quorate evidence --verify r2-prepare.json --genesis genesis.json check a file, without any network

Evidence is two statements that one replica has signed and that contradict each other. An honest replica never signs such a
pair; one that was started on an old copy of its data directory, or twice, may. Whatever is printed here was verified from the
genesis alone, which must come from somebody you trust. Exit code 0: done, be there lies or none, or the file proves a lie. 1: an
error, no replica could be reached, or the file proves nothing, with the reason.";

/// Show, save and check evidence of lying replicas.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What the members agreed on. A home has its own.
    #[arg(long, value_name = "FILE", env = "QUORATE_GENESIS", required_unless_present = "home")]
    genesis: Option<PathBuf>,
    /// Read what the replica of this home has kept, instead of asking over the network.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["replica", "verify"])]
    home: Option<PathBuf>,
    /// Check this file, instead of asking over the network.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["replica", "save"])]
    verify: Option<PathBuf>,
    /// Ask only this replica.
    #[arg(long, value_name = "N")]
    replica: Option<u16>,
    /// Write a file for each replica and kind of lie into this directory.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// One verified lie.
#[derive(Debug, Serialize)]
struct Row {
    accused: u16,
    organisation: String,
    /// What the two statements are.
    what: &'static str,
    epoch: u64,
    view: u64,
    height: u64,
    /// What they are about.
    digests: [Digest; 2],
    /// Replicas that can prove it; empty where none was asked.
    known_to: Vec<u16>,
    evidence: Evidence,
}

impl Row {
    fn new(genesis: &Genesis, trust: &Trust, evidence: Evidence) -> anyhow::Result<Row> {
        let what = verify::<AnyMessage>(&evidence, trust)?;
        let (first, second) = (evidence.first.0, evidence.second.0);
        Ok(Row {
            accused: evidence.accused.0,
            organisation: genesis.replicas[evidence.accused.index()].organisation.clone(),
            what,
            epoch: first.epoch,
            view: first.view,
            height: first.height,
            digests: [first.digest, second.digest],
            known_to: Vec::new(),
            evidence,
        })
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { genesis, home, verify, replica, save, output } = arguments;
    let home = home.map(Home::new);
    let path = home.as_ref().map(Home::genesis).or(genesis).context("give --genesis FILE or --home DIR")?;
    let genesis = read_genesis(&path)?;
    let trust = genesis.trust().context("the genesis cannot be used")?;
    let rows = match (&home, &verify) {
        (Some(home), _) => kept(home, &genesis, &trust)?,
        (None, Some(file)) => vec![checked(file, &genesis, &trust)?],
        (None, None) => match asked(&genesis, &trust, replica)? {
            Some(rows) => rows,
            None => return Ok(ExitCode::FAILURE),
        },
    };
    if let Some(dir) = save {
        let dir = EvidenceDir::open(dir)?;
        for row in &rows {
            let path = dir.keep(&row.evidence)?;
            output::complain(&format!("{} is evidence against r{}", path.display(), row.accused));
        }
    }
    print(&match output {
        Format::Json => serde_json::to_string_pretty(&rows)?,
        Format::Table if rows.is_empty() => {
            format!("network {} ({}): no evidence that any replica lied", genesis.network, genesis.chain())
        }
        Format::Table => {
            format!("network {} ({})\n{}", genesis.network, genesis.chain(), lines(&table(&rows)))
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn checked(file: &Path, genesis: &Genesis, trust: &Trust) -> anyhow::Result<Row> {
    Row::new(genesis, trust, read(file)?).with_context(|| format!("{} proves nothing", file.display()))
}

/// What a replica wrote beside its data, whether it runs or not.
fn kept(home: &Home, genesis: &Genesis, trust: &Trust) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for file in EvidenceDir::list(&home.evidence())? {
        match checked(&file, genesis, trust) {
            Ok(row) => rows.push(row),
            Err(error) => output::complain(&format!("left out: {}", output::causes(&error))),
        }
    }
    Ok(rows)
}

/// What replicas show; none if no replica could be reached.
fn asked(genesis: &Genesis, trust: &Trust, replica: Option<u16>) -> anyhow::Result<Option<Vec<Row>>> {
    let wanted = chosen(genesis, replica)?;
    let answers = on_runtime(ask_each(genesis, &wanted, |client, replica| async move {
        patiently(replica, client.evidence(replica)).await
    }))?;
    let mut rows: BTreeMap<(ReplicaId, Digest), Row> = BTreeMap::new();
    let mut reached = false;
    for (replica, answer) in answers {
        match answer {
            Ok(shown) => {
                reached = true;
                for evidence in shown {
                    take(&mut rows, replica, genesis, trust, evidence);
                }
            }
            Err(why) => output::complain(&format!("{replica} was not reached: {why}")),
        }
    }
    if !reached {
        output::complain(
            "error: no replica could be reached; check that they run, and that the addresses in the genesis are right; \
             `--home DIR` shows what a replica has kept without asking it",
        );
    }
    Ok(reached.then(|| rows.into_values().collect()))
}

/// Takes what a replica shows, once it is verified.
fn take(
    rows: &mut BTreeMap<(ReplicaId, Digest), Row>,
    from: ReplicaId,
    genesis: &Genesis,
    trust: &Trust,
    evidence: Evidence,
) {
    let name = (evidence.accused, evidence.digest());
    if let Some(row) = rows.get_mut(&name) {
        row.known_to.push(from.0);
        return;
    }
    match Row::new(genesis, trust, evidence) {
        Ok(row) => drop(rows.insert(name, Row { known_to: vec![from.0], ..row })),
        Err(error) => {
            output::complain(&format!(
                "{from} shows what proves nothing: {error:#}; it lies, or runs another release"
            ));
        }
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header([
        "accused",
        "organisation",
        "signed two",
        "epoch",
        "view",
        "height",
        "about",
        "and about",
        "known to",
    ]);
    for Row { accused, organisation, what, epoch, view, height, digests, known_to, .. } in rows {
        let known: Vec<String> = known_to.iter().map(|replica| format!("r{replica}")).collect();
        table.add_row([
            format!("r{accused}"),
            organisation.clone(),
            format!("{what}s"),
            epoch.to_string(),
            view.to_string(),
            if *height == 0 { "-".to_owned() } else { height.to_string() },
            output::short(&digests[0]),
            output::short(&digests[1]),
            if known.is_empty() { "-".to_owned() } else { known.join(" ") },
        ]);
    }
    table
}
