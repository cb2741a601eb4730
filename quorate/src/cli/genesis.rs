//! `quorate genesis`: what the members agree on, from their public files.

use super::files::{MemberFile, read_member, read_text};
use super::keygen::check_address;
use super::print;
use crate::home::write_genesis;
use anyhow::{Context, bail};
use app_examples::ledger::{Config, Ledger};
use bench::choice::{self, Choice};
use bft_core::genesis::{Application, FIRST_EPOCH, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::genesis_state;
use bft_core::machine::StateMachine;
use clap::Args;
use crypto::{ClientSecret, Digest, FaultModel, KeyFile, Scheme, ThresholdKey, keystore};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "\
Example:
  quorate genesis --network pilot --scheme ed25519 --app-config ledger.toml --out genesis.json \\
      --member north/member.json --member south/member.json --member east/member.json --member west/member.json

Replicas are numbered in the order of the files. An organisation with several replicas has several files, with the same name
and operator. ledger.toml lists the assets and their issuers:
  freeze_authority = [\"north-bank\"]
  [[asset]]
  code = \"EUR\"
  issuer = \"north-bank\"

Limits, for --limit: transaction_bytes, block_bytes, window, checkpoint_interval, checkpoint_ms, view_timeout_ms, batch_ms,
session_window, receipt_heights, clock_skew_ms; for --protocol hotstuff also tenure_views (how many views in a row a leader
leads); for --protocol raft also lease_drift_ppm (by how many parts per million a clock may run faster than another: with it the leader
answers reads under a lease, without it it asks a majority).

--protocol raft is for replicas of one operator, of which a minority may crash and none may lie: nothing is signed between them, and
receipts prove nothing.

Every member should compare the chain id with the others before the start: it is the digest of the whole file.";

/// Assemble the genesis from the members' public files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The network's name, for people.
    #[arg(long, value_name = "NAME")]
    network: String,
    /// A member's public file; replicas are numbered in this order.
    #[arg(long = "member", value_name = "FILE", required = true, num_args = 1..)]
    members: Vec<PathBuf>,
    /// The ledger's assets and authorities, as TOML.
    #[arg(long, value_name = "FILE")]
    app_config: PathBuf,
    /// How quorum certificates are made: ed25519 (lists of signatures, unless chosen otherwise) or threshold (one group key); with
    /// --protocol raft none, since nobody is expected to lie there.
    #[arg(long)]
    scheme: Option<Scheme>,
    /// The genesis file to make.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    choice: Choice,
    /// For --scheme threshold: this process deals all key shares and writes them to DIR/threshold-N.key. It knows every
    /// secret for a moment, and so does whoever can read DIR: not for a real network.
    #[arg(long, value_name = "DIR")]
    trusted_dealer_for_tests_and_demo: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        network,
        members,
        app_config,
        scheme,
        out,
        choice,
        trusted_dealer_for_tests_and_demo: dealer,
    } = arguments;
    if out.exists() {
        bail!(
            "{} exists already and is not overwritten; choose another --out, or move it away",
            out.display()
        );
    }
    let fault_model = engines::fault_model(choice.protocol);
    let usual = if fault_model == FaultModel::Crash { Scheme::None } else { Scheme::Ed25519 };
    let scheme = scheme.unwrap_or(usual);
    if scheme == Scheme::Threshold && dealer.is_none() {
        bail!(
            "the scheme threshold needs a group key. This release cannot generate one together, only deal it from one place, \
             which then knows every secret: for tests and demonstrations give --trusted-dealer-for-tests-and-demo DIR, \
             for a real network use --scheme ed25519"
        );
    }
    if scheme != Scheme::Threshold && dealer.is_some() {
        bail!(
            "the scheme {scheme} needs no dealer; leave --trusted-dealer-for-tests-and-demo out, or use --scheme threshold"
        );
    }
    let (replicas, organisations) = assemble(&members)?;
    let config = read_text(&app_config, "give the ledger's configuration, see `quorate genesis --help`")?;
    check_application(&app_config, &config, &organisations)?;
    let mut genesis = Genesis {
        version: bft_core::codec::VERSION,
        network,
        time: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?,
        protocol: choice.protocol,
        fault_model,
        scheme,
        limits: choice.limits(Limits::default())?,
        application: Application { name: Ledger.name().to_owned(), config },
        state_root: Digest::ZERO,
        replicas,
        organisations,
        threshold: None,
    };
    let dealt = dealer.map(|dir| deal(&mut genesis, dir)).transpose()?;
    genesis.state_root = genesis_state(&Ledger, &genesis)?.1;
    genesis.validate()?;
    let dealt = dealt.map(Dealt::write).transpose()?;
    write_genesis(&out, &genesis)?;
    let committee = genesis.committee();
    let mut text = format!(
        "chain {}\nprotocol {}; fault model {fault_model}\n{} replicas, of which {} may fail and {} decide; scheme {scheme}; written to {}",
        genesis.chain(),
        choice::in_words(genesis.protocol, &genesis.limits),
        committee.replicas,
        committee.faulty(),
        committee.quorum(),
        out.display()
    );
    if fault_model == FaultModel::Crash {
        text += "\nWARNING: in the crash fault model every replica is believed. One that lies, or is broken into, can make up the whole \
                 ledger: for replicas of one operator only. Receipts rest on trust in the operator, and prove nothing.";
    }
    if genesis.limits.unsigned {
        text += "\nWARNING: clients do not sign. Whoever can reach a replica can transact under the key of any client: see that only \
                 programs can that you trust.";
    }
    if let Some(dir) = dealt {
        text += &format!(
            "\nWARNING: a trusted dealer made the group key, for tests and demonstrations only. It knew every secret, and whoever \
             reads {0} can sign for the whole committee.\nGive {0}/threshold-N.key to replica N as HOME/threshold.key, then \
             delete the rest.",
            dir.display()
        );
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Replicas in the order of the files; files of one organisation must agree about it.
fn assemble(paths: &[PathBuf]) -> anyhow::Result<(Vec<ReplicaInfo>, Vec<Organisation>)> {
    let mut replicas = Vec::new();
    let mut organisations: Vec<(Organisation, &Path)> = Vec::new();
    for path in paths {
        let MemberFile { organisation: name, address, identity, operator, clients, .. } = read_member(path)?;
        check_address(&address).with_context(|| path.display().to_string())?;
        let weak = |what: &str| {
            format!(
                "{}: the {what} cannot be used; make new keys with `quorate keygen member`",
                path.display()
            )
        };
        identity.validate().with_context(|| weak("identity"))?;
        for key in std::iter::once(&operator).chain(&clients) {
            key.validate().with_context(|| weak("operator or a client"))?;
        }
        replicas.push(ReplicaInfo { organisation: name.clone(), identity, address });
        match organisations.iter_mut().find(|(known, _)| known.name == name) {
            None => organisations.push((Organisation { name, operator, clients }, path)),
            Some((known, first)) if known.operator != operator => bail!(
                "{} and {} both say {name:?} but name different operators, {} and {operator}; an organisation has one \
                 operator: correct one of the files, or rename one organisation",
                first.display(),
                path.display(),
                known.operator
            ),
            Some((known, _)) => {
                let new: Vec<_> =
                    clients.into_iter().filter(|client| !known.clients.contains(client)).collect();
                known.clients.extend(new);
            }
        }
    }
    Ok((replicas, organisations.into_iter().map(|(organisation, _)| organisation).collect()))
}

/// A misspelt issuer is an asset that nobody can ever issue.
fn check_application(path: &Path, config: &str, organisations: &[Organisation]) -> anyhow::Result<()> {
    let config = Config::parse(config).with_context(|| path.display().to_string())?;
    let known: Vec<&str> = organisations.iter().map(|organisation| organisation.name.as_str()).collect();
    match config.organisations().into_iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => bail!(
            "{} names the organisation {name:?}, which no member file does; the members are {}: correct the name",
            path.display(),
            known.join(", ")
        ),
    }
}

/// Shares that are on no disk yet.
struct Dealt {
    dir: PathBuf,
    keys: Vec<ThresholdKey>,
}

fn deal(genesis: &mut Genesis, dir: PathBuf) -> anyhow::Result<Dealt> {
    let entropy = *ClientSecret::generate()?.seed();
    let committee = genesis.committee();
    let (public, shares) = crypto::trusted_dealer(entropy, committee.replicas, committee.quorum())?;
    let group = public.digest();
    genesis.threshold = Some(public);
    let keys = shares.into_iter().map(|share| ThresholdKey { share, epoch: FIRST_EPOCH, group }).collect();
    Ok(Dealt { dir, keys })
}

impl Dealt {
    fn write(self) -> anyhow::Result<PathBuf> {
        let Dealt { dir, keys } = self;
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make {}; check the path and its owner", dir.display()))?;
        for (replica, key) in keys.into_iter().enumerate() {
            keystore::write_new(&dir.join(format!("threshold-{replica}.key")), &KeyFile::Threshold(key))?;
        }
        Ok(dir)
    }
}
