//! `quorate init`: a home for a replica that never ran.

use super::print;
use crate::home::{Home, ReplicaConfig, read_genesis};
use anyhow::{Context, bail};
use bft_core::genesis::{FIRST_EPOCH, Genesis};
use clap::Args;
use crypto::keystore;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Example:
  quorate init --home ./north --genesis genesis.json --replica 0

The home must hold identity.key (from `quorate keygen member`), and threshold.key if the genesis has the scheme threshold. A
replica may vote from the start only after this command; run it once. A home whose data are lost is started without it: the
replica then follows the others first.";

/// Prepare the home of a replica that never ran.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The replica's home, with its keys.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,
    /// What the members agreed on; it is copied.
    #[arg(long, value_name = "FILE", env = "QUORATE_GENESIS")]
    genesis: PathBuf,
    /// Which replica of the genesis this is, from 0.
    #[arg(long, value_name = "N")]
    replica: u16,
    /// Where to listen, if not at the address in the genesis (behind a translated address, for example).
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { home, genesis: genesis_path, replica, listen } = arguments;
    let genesis = read_genesis(&genesis_path)?;
    let home = Home::new(home);
    check_keys(&home, &genesis, replica)?;
    let copy = home.genesis();
    if copy.exists() {
        let there = read_genesis(&copy)?;
        if there.chain() != genesis.chain() {
            bail!(
                "{} is of the network {}, {} of {}; choose another --home, or give the genesis of this one",
                copy.display(),
                there.chain(),
                genesis_path.display(),
                genesis.chain()
            );
        }
    }
    // The data directory first: it refuses a home that is in use, before anything in it changes.
    storage::DataDir::init(home.path(), genesis.chain().0, u32::from(replica))?;
    if !copy.exists() {
        fs::copy(&genesis_path, &copy)
            .with_context(|| format!("cannot copy {} to {}", genesis_path.display(), copy.display()))?;
    }
    ReplicaConfig { listen, ..ReplicaConfig::new(replica) }.write(&home.config())?;
    let info = &genesis.replicas[usize::from(replica)];
    print(&format!(
        "replica {replica} of {} ({}) at {}\nchain {}\nstart it with: quorate start --home {}",
        genesis.network,
        info.organisation,
        listen.map_or_else(|| info.address.clone(), |listen| listen.to_string()),
        genesis.chain(),
        home.path().display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Threats 56 and 95: the keys in the home are those that the genesis has for this replica.
fn check_keys(home: &Home, genesis: &Genesis, replica: u16) -> anyhow::Result<()> {
    let Some(info) = genesis.replicas.get(usize::from(replica)) else {
        bail!(
            "the genesis has no replica {replica}; its replicas are 0 to {}, give --replica accordingly",
            genesis.replicas.len().saturating_sub(1)
        );
    };
    let path = home.identity_key();
    let found = keystore::read_identity(&path)?.public();
    if found != info.identity {
        let whose = genesis.replicas.iter().position(|other| other.identity == found);
        let remedy = match whose {
            Some(other) => format!("it is the key of replica {other}: give --replica {other}, or put the key of replica {replica} there"),
            None => "it is of no replica of this genesis: put the right key there, or give the genesis that was made with it".to_owned(),
        };
        bail!(
            "{} holds the identity {found}, but the genesis gives replica {replica} the identity {}; {remedy}",
            path.display(),
            info.identity
        );
    }
    if let Some(keys) = &genesis.threshold {
        let path = home.threshold_key();
        let share = keystore::read_threshold(&path, FIRST_EPOCH, keys)
            .context("the genesis has the scheme threshold, so that the home needs threshold.key")?;
        if share.replica().0 != replica {
            bail!(
                "{} holds the share of replica {}, where that of replica {replica} is needed; put the right share there",
                path.display(),
                share.replica().0
            );
        }
    }
    Ok(())
}
