//! `quorate tx`: one transaction, until its receipt is proven.

use super::files::{ReceiptFile, SavedTransaction, read_transaction, write_json};
use super::network::{self, check_key, on_runtime};
use super::{REFUSED, UNKNOWN, output, print};
use crate::home::read_genesis;
use anyhow::{Context, bail};
use app_examples::ledger::{AssetCode, Operation};
use bft_core::codec;
use bft_core::genesis::Genesis;
use bft_core::receipt::{ProvenReceipt, code};
use bft_core::transaction::{Item, Kind, SystemAction, Transaction};
use bytes::Bytes;
use clap::{Args, Subcommand};
use client::{Client, SubmitError};
use crypto::{ClientKey, ClientSecret, keystore};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  quorate tx --genesis genesis.json --key operator.key enroll 8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394
  quorate tx --genesis genesis.json --key issuer.key issue 1000 EUR --to 8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394
  quorate tx --genesis genesis.json --key alice.key --save receipt.json transfer 5 EUR --to 8a88e3dd... --memo rent
  quorate tx --genesis genesis.json retry tx-1f2e3d4c5b6a.json

The signed transaction is written to tx-<digest>.json (in --pending, default .) before it is sent, and removed once its receipt is
proven. If the outcome stays unknown, the file remains: `tx retry` sends the very same transaction again, which executes at most
once however often it is sent. Signing a new one instead could do the thing twice.

Exit codes: 0 executed, 1 error and nothing was sent, 3 refused, 4 outcome unknown.";

/// Sign a transaction, submit it, and wait for its proven receipt.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What the members agreed on.
    #[arg(long, value_name = "FILE", env = "QUORATE_GENESIS", global = true)]
    genesis: Option<PathBuf>,
    /// The client's key file, which signs. Not needed for retry.
    #[arg(long, value_name = "FILE", env = "QUORATE_KEY", global = true)]
    key: Option<PathBuf>,
    /// Save the proven receipt, for `quorate verify`.
    #[arg(long, value_name = "FILE", global = true)]
    save: Option<PathBuf>,
    /// Give up waiting after this time; the outcome is then unknown.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), global = true)]
    patience: u64,
    /// Where the signed transaction is kept while its outcome is not known.
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    pending: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make new units of an asset; for its issuer.
    Issue {
        /// How many.
        amount: u64,
        /// Of what.
        asset: AssetCode,
        /// Who gets them: a client's public key.
        #[arg(long, value_name = "KEY")]
        to: ClientKey,
    },
    /// Move units from the signer's account to another.
    Transfer {
        /// How many.
        amount: u64,
        /// Of what.
        asset: AssetCode,
        /// Who gets them: a client's public key.
        #[arg(long, value_name = "KEY")]
        to: ClientKey,
        /// For the receiver; everybody can read it.
        #[arg(long, value_name = "TEXT", default_value = "")]
        memo: String,
    },
    /// Destroy units of the signer's own.
    Redeem {
        /// How many.
        amount: u64,
        /// Of what.
        asset: AssetCode,
    },
    /// Keep an account from giving and receiving; for a freeze authority.
    Freeze {
        /// Which: a client's public key.
        account: ClientKey,
        /// Why; everybody can read it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Lift a freeze; for a freeze authority.
    Unfreeze {
        /// Which: a client's public key.
        account: ClientKey,
        /// Why; everybody can read it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let a client transact for the organisation whose operator signs this.
    Enroll {
        /// The new client's public key.
        client: ClientKey,
    },
    /// Send a transaction again whose outcome is not known. Safe: it executes at most once.
    Retry {
        /// The file that an earlier `tx` named.
        file: PathBuf,
    },
}

const NOTHING_SENT: &str = "nothing was sent";

/// What an earlier command signed, or what is to be signed now.
enum Intent {
    Sign(Kind, Bytes),
    Again(PathBuf),
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { genesis, key, save, patience, pending, what } = arguments;
    let genesis = read_genesis(&network::genesis_path(genesis)?)?;
    if let Some(path) = save.as_deref().filter(|path| path.exists()) {
        bail!(
            "{} exists already and is not overwritten; choose another --save, or move it away",
            path.display()
        );
    }
    match what.intent()? {
        Intent::Sign(kind, body) => {
            check_size(&genesis, &body)?;
            let path = key.context("who signs? give --key FILE, or set QUORATE_KEY")?;
            let secret = keystore::read_client(&path)?;
            on_runtime(async {
                let client = network::connect_patiently(genesis.clone(), secret, patience)
                    .await
                    .context(NOTHING_SENT)?;
                let transaction = client.sign(kind, body);
                let end = submit_signed(&client, &genesis, &transaction, &pending, save.as_deref()).await;
                client.close().await;
                end
            })
        }
        Intent::Again(path) => {
            let saved = read_transaction(&path)?;
            if saved.chain != genesis.chain() {
                bail!(
                    "{} is signed for the network {}, this genesis is of {}; give the genesis of its network",
                    path.display(),
                    saved.chain,
                    genesis.chain()
                );
            }
            on_runtime(async {
                let client =
                    network::connect_patiently(genesis.clone(), ClientSecret::generate()?, patience).await?;
                let end = submit(&client, &genesis, &saved, &path, save.as_deref()).await;
                client.close().await;
                end
            })
        }
    }
}

impl What {
    fn intent(self) -> anyhow::Result<Intent> {
        let operation = match self {
            What::Issue { amount, asset, to } => {
                check_key(&to)?;
                Operation::Issue { asset, to, amount }
            }
            What::Transfer { amount, asset, to, memo } => {
                check_key(&to)?;
                Operation::Transfer { asset, to, amount, memo: memo.into() }
            }
            What::Redeem { amount, asset } => Operation::Redeem { asset, amount },
            What::Freeze { account, reason } => Operation::Freeze { account, reason },
            What::Unfreeze { account, reason } => Operation::Unfreeze { account, reason },
            What::Enroll { client } => {
                check_key(&client)?;
                let body = codec::encode(&SystemAction::Enroll { client });
                return Ok(Intent::Sign(Kind::System, body.into()));
            }
            What::Retry { file } => return Ok(Intent::Again(file)),
        };
        // The same look that every replica takes, before anything is signed.
        app_examples::ledger::rules::well_formed(&operation)?;
        Ok(Intent::Sign(Kind::Application, operation.encode()))
    }
}

fn check_size(genesis: &Genesis, body: &[u8]) -> anyhow::Result<()> {
    let limit = genesis.limits.transaction_bytes as usize;
    if body.len() > limit {
        bail!("the transaction's body has {} bytes, this network takes {limit}; say less in it", body.len());
    }
    Ok(())
}

/// Saves a signed transaction, so that it can be sent again if its outcome stays unknown, and submits it.
async fn submit_signed(
    client: &Client,
    genesis: &Genesis,
    transaction: &Transaction,
    pending: &Path,
    save: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let saved = SavedTransaction::new(genesis.chain(), transaction);
    let path = pending.join(format!("tx-{}.json", output::short(&saved.item().digest)));
    write_json(&path, &saved).context(NOTHING_SENT)?;
    submit(client, genesis, &saved, &path, save).await
}

/// Submits what was saved at `path`, and removes the file once the fate of the transaction is known.
async fn submit(
    client: &Client,
    genesis: &Genesis,
    saved: &SavedTransaction,
    path: &Path,
    save: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let item = saved.item();
    match client.submit_transaction(item.transaction.clone()).await {
        Ok(proven) => {
            report(genesis, saved, &item, &proven, save)?;
            forget(path);
            Ok(if proven.receipt.code == code::OK { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
        }
        Err(error @ (SubmitError::Refused { .. } | SubmitError::SequenceTaken { .. })) => {
            forget(path);
            output::complain(&format!("not executed: {error}"));
            Ok(ExitCode::from(REFUSED))
        }
        Err(error @ (SubmitError::Unknown { .. } | SubmitError::NoReceipt { .. })) => {
            output::complain(&format!(
                "{error}\nThe transaction may still be executed. Do not sign it anew; to learn its outcome, or to send the very same \
                 one again (it executes at most once):\n  quorate tx --genesis GENESIS retry {}",
                path.display()
            ));
            Ok(ExitCode::from(UNKNOWN))
        }
        Err(error @ SubmitError::Forgotten { .. }) => {
            output::complain(&format!(
                "{error}\nAsk the ledger for its effect (`quorate query`) before you sign it anew. It is still in {}.",
                path.display()
            ));
            Ok(ExitCode::from(UNKNOWN))
        }
        // Whatever became of it earlier, this time it went nowhere.
        Err(error @ (SubmitError::TooLong { .. } | SubmitError::Unreachable(_) | SubmitError::Closed)) => {
            Err(anyhow::Error::new(error)
                .context(format!("the signed transaction is in {}, for `quorate tx retry`", path.display())))
        }
    }
}

fn report(
    genesis: &Genesis,
    saved: &SavedTransaction,
    item: &Item,
    proven: &ProvenReceipt,
    save: Option<&Path>,
) -> anyhow::Result<()> {
    let worth = match proven.trusted_to() {
        // In the crash fault model, as the client has made sure.
        Some(replica) => format!("by the word of {replica}, not proven: the network's fault model is crash"),
        None => {
            // The client has verified it; whoever prints "proven" looks again, at the price of a millisecond.
            proven.verify(&genesis.trust()?)?;
            "proof verified".to_owned()
        }
    };
    let head = if proven.receipt.code == code::OK { "executed" } else { "refused" };
    let mut text =
        format!("{head}: {}, {worth}\n{}", super::verify::describe(item), output::proof_in_words(proven));
    if let Some(path) = save {
        write_json(path, &ReceiptFile::new(saved.chain, Some(saved.clone()), proven.clone()))?;
        text += &format!("  {:<12} {}\n", "saved", path.display());
    }
    print(&text);
    Ok(())
}

/// The fate is known: the file has done its work.
fn forget(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        output::complain(&format!(
            "note: {} is no longer needed but cannot be removed: {error}",
            path.display()
        ));
    }
}
