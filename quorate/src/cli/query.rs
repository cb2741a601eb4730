//! `quorate query`: what the ledger says, proven.

use super::network::{self, on_runtime};
use super::output::code_in_words;
use super::{connect_as_stranger, print};
use crate::home::read_genesis;
use anyhow::bail;
use app_examples::ledger::{Answer, AssetCode, Ledger, Query};
use bft_core::types::Height;
use bytes::Bytes;
use clap::{Args, Subcommand};
use client::Read;
use crypto::{ClientKey, FaultModel, keystore};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  quorate query --genesis genesis.json balance EUR 8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394
  quorate query --genesis genesis.json supply EUR
  quorate query --genesis genesis.json --read linearizable supply EUR

What an answer is worth, by --read:
  certified     One replica answers. It is believed because its answer comes with a certificate of a quorum over the state it was made
                from, and is computed again here over the proven values. That state may be a moment old.
  linearizable  The answer knows of everything that anybody was told before. It is proven too: the state is certified at a height that no
                acknowledged transaction is above, as n - f replicas say. Should its certificate not come in a second, the question is
                ordered like a transaction, for which --key is needed.
  local         What one replica has executed, by its word: it may be cut off, and it may lie.
In the crash fault model nothing is proven: whatever the answer, it is the word of a replica that is trusted.";

/// How long replicas may take to answer a client with a key.
const PATIENCE_SECONDS: u64 = 30;

/// Ask the ledger; the answer is verified.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// What the members agreed on.
    #[arg(long, value_name = "FILE", env = "QUORATE_GENESIS", global = true)]
    genesis: Option<PathBuf>,
    /// What the answer is to be worth: certified, linearizable or local.
    #[arg(long, value_name = "LEVEL", default_value_t = Read::Certified, global = true)]
    read: Read,
    /// The key of an enrolled client, for a linearizable read that has to be ordered.
    #[arg(long, value_name = "FILE", env = "QUORATE_KEY", global = true)]
    key: Option<PathBuf>,
    #[command(subcommand)]
    question: Question,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Question {
    /// How much an account holds of an asset.
    Balance {
        /// Of what.
        asset: AssetCode,
        /// Whose: a client's public key.
        account: ClientKey,
    },
    /// Whether an account is frozen, and what its owner has done.
    Account {
        /// Whose: a client's public key.
        account: ClientKey,
    },
    /// How much there is of an asset.
    Supply {
        /// Of what.
        asset: AssetCode,
    },
    /// Who issues an asset.
    Asset {
        /// Which.
        asset: AssetCode,
    },
    /// Which assets there are, and who may freeze.
    Terms,
}

impl Question {
    fn query(self) -> Query {
        match self {
            Question::Balance { asset, account } => Query::Balance { asset, account },
            Question::Account { account } => Query::Account { account },
            Question::Supply { asset } => Query::Supply { asset },
            Question::Asset { asset } => Query::Asset { asset },
            Question::Terms => Query::Terms,
        }
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let genesis = read_genesis(&network::genesis_path(arguments.genesis)?)?;
    let query = arguments.question.query();
    let read = arguments.read;
    let linearizable = read == Read::Linearizable;
    let key = arguments.key.filter(|_| linearizable).map(|path| keystore::read_client(&path)).transpose()?;
    on_runtime(async {
        let client = match key {
            Some(secret) => network::connect_patiently(genesis, secret, PATIENCE_SECONDS).await?,
            None => connect_as_stranger(genesis).await?,
        };
        let told = client.read(&Ledger, &query.encode(), read).await;
        let proves = client.trust().domain.fault_model == FaultModel::Byzantine && read != Read::Local;
        client.close().await;
        let (result, height) = told?;
        let (answer, height) = answer(result, height)?;
        let how = if proves { "proven" } else { "by the word of a replica," };
        print(&format!("{}\n({how} at height {height})", in_words(&query, &answer)));
        Ok(ExitCode::SUCCESS)
    })
}

/// The verified answer to a query, and the height of the state it is from.
pub(crate) async fn ask(client: &client::Client, query: &Query) -> anyhow::Result<(Answer, Height)> {
    let (result, height) = client.query(&Ledger, &query.encode()).await?;
    answer(result, height)
}

fn answer(result: Result<Bytes, (u32, String)>, height: Height) -> anyhow::Result<(Answer, Height)> {
    match result {
        Ok(bytes) => Ok((Answer::decode(&bytes)?, height)),
        Err((code, sentence)) => {
            bail!(
                "the ledger refuses at height {height}: {} (code {code}, {})",
                sentence.escape_debug(),
                code_in_words(code)
            )
        }
    }
}

fn in_words(query: &Query, answer: &Answer) -> String {
    match (query, answer) {
        (Query::Balance { asset, .. }, Answer::Balance(balance)) => format!("{balance} {asset}"),
        (_, Answer::Balance(balance)) => balance.to_string(),
        (_, Answer::Account(account)) => {
            let activity = format!(
                "{} operations, the last at height {}",
                account.activity.operations, account.activity.height
            );
            match &account.freeze {
                None => format!("not frozen; {activity}"),
                Some(freeze) => format!(
                    "frozen by {:?} at height {}, reason {:?}; {activity}",
                    freeze.organisation, freeze.height, freeze.reason
                ),
            }
        }
        (_, Answer::Supply(supply)) => format!(
            "outstanding {}, issued {}, redeemed {}",
            supply.outstanding().map_or_else(|| "?".to_owned(), |units| units.to_string()),
            supply.issued,
            supply.redeemed
        ),
        (_, Answer::Asset(asset)) => match asset.issuer_keys.as_slice() {
            [] => format!("issued by {:?}, any of its clients", asset.issuer),
            keys => format!("issued by {:?}, keys {}", asset.issuer, list(keys)),
        },
        (_, Answer::Terms(terms)) => {
            let keys = if terms.freeze_keys.is_empty() {
                String::new()
            } else {
                format!("; keys {}", list(&terms.freeze_keys))
            };
            format!(
                "assets {}; freeze authorities {}{keys}",
                list(&terms.assets),
                list(&terms.freeze_authority)
            )
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    match items {
        [] => "none".to_owned(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
