//! `quorate verify`: a receipt against the genesis, without any network.

use super::{output, print, read_receipt};
use crate::home::read_genesis;
use anyhow::{Context, bail};
use app_examples::ledger::{self, Query};
use bft_core::codec;
use bft_core::genesis::Genesis;
use bft_core::receipt::ProofError;
use bft_core::transaction::{Item, Kind, SystemAction};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Example:
  quorate verify receipt.json --genesis genesis.json

Needs no network and trusts no replica: only the genesis, which must come from somebody you trust. Exit code 0 says that a quorum
of the committee has certified this receipt, 1 that the file proves nothing, with the reason.";

/// Bytes of the longest system transaction.
const SYSTEM_BYTES: usize = 1 << 16;

/// Check a saved receipt from the genesis alone.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What `quorate tx --save` wrote.
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,
    /// What the members agreed on.
    #[arg(long, value_name = "FILE", env = "QUORATE_GENESIS")]
    genesis: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let genesis = read_genesis(&arguments.genesis)?;
    let file = read_receipt(&arguments.receipt)?;
    let text =
        verify(&genesis, &file).with_context(|| format!("{} proves nothing", arguments.receipt.display()))?;
    print(&text);
    Ok(ExitCode::SUCCESS)
}

/// What the file proves, in words.
pub(crate) fn verify(genesis: &Genesis, file: &super::ReceiptFile) -> anyhow::Result<String> {
    let chain = genesis.chain();
    if file.chain != chain {
        bail!(
            "it is of the network {}, this genesis is of {chain}; give the genesis of its network",
            file.chain
        );
    }
    let damaged = "the file was changed, or a replica lied: ask the network for the receipt again";
    if let Some(replica) = file.receipt.trusted_to() {
        bail!(
            "{}; ask the operator, or use a network in the byzantine fault model",
            ProofError::Trusted(replica)
        );
    }
    if let Err(error) = file.receipt.verify(&genesis.trust()?) {
        bail!("{error}; {damaged}");
    }
    let mut text = format!(
        "proven by the network {} ({chain}):\n{}",
        genesis.network,
        output::proof_in_words(&file.receipt)
    );
    if let Some(saved) = &file.transaction {
        let item = saved.item();
        if saved.chain != chain || item.digest != file.receipt.receipt.transaction {
            bail!(
                "the transaction in the file is {}, its receipt is about {}; {damaged}",
                item.digest,
                file.receipt.receipt.transaction
            );
        }
        text += &format!("  {:<12} {}\n", "what", describe(&item));
        text += &format!(
            "  {:<12} {}, sequence {}\n",
            "signed by", item.transaction.client, item.transaction.sequence
        );
    }
    Ok(text)
}

/// One line about a transaction.
pub(crate) fn describe(item: &Item) -> String {
    match item.transaction.kind {
        Kind::Application => ledger::describe(&item.transaction.body),
        Kind::System => match codec::decode(&item.transaction.body, SYSTEM_BYTES) {
            Ok(SystemAction::Enroll { client }) => format!("enrol the client {client}"),
            Ok(SystemAction::Read { request }) => {
                let asked = Query::decode(&request);
                asked.map_or("read something that this program does not know".to_owned(), |query| {
                    format!("read {query:?}")
                })
            }
            Err(_) => "a system transaction that this program does not know".to_owned(),
        },
    }
}
