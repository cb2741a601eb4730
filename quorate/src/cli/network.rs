//! Reaching a network from a command.

use anyhow::{Context, bail};
use bft_core::genesis::Genesis;
use client::{Client, ClientConfig};
use crypto::{ClientKey, ClientSecret};
use std::path::PathBuf;
use std::time::Duration;

/// Runs a command's asynchronous part.
pub(crate) fn on_runtime<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(future)
}

/// `--genesis`, which stands before or behind the subcommand and is therefore not enforced by the parser.
pub(crate) fn genesis_path(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    given.context("which network? give --genesis FILE, or set QUORATE_GENESIS")
}

/// A client that waits this long for a transaction's receipt, outages included.
pub(crate) async fn connect_patiently(
    genesis: Genesis,
    secret: ClientSecret,
    seconds: u64,
) -> anyhow::Result<Client> {
    let give_up = Duration::from_secs(seconds);
    let config = ClientConfig::new(genesis, secret);
    let answer_timeout = turn(give_up, config.genesis.committee().faulty()).min(config.answer_timeout);
    Ok(Client::connect(ClientConfig { give_up, answer_timeout, ..config }).await?)
}

/// How long one replica may keep a client waiting, so that even with all that may fail asked first, and dead, the patience
/// lasts for one that answers and for some time to spare.
fn turn(patience: Duration, faulty: usize) -> Duration {
    patience / u32::try_from(faulty + 2).unwrap_or(u32::MAX)
}

/// A client that signs nothing: for questions, which everybody may ask.
pub(crate) async fn connect_as_stranger(genesis: Genesis) -> anyhow::Result<Client> {
    Ok(Client::connect(ClientConfig::new(genesis, ClientSecret::generate()?)).await?)
}

/// Refuses a key that nobody can sign with.
pub(crate) fn check_key(key: &ClientKey) -> anyhow::Result<()> {
    if key.validate().is_err() {
        bail!("{key} is not a client's public key; copy all 64 digits from `quorate keygen`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_replicas_do_not_use_up_the_patience() {
        for (patience_ms, faulty) in [(1000, 0), (2000, 1), (2000, 10), (30_000, 42)] {
            let patience = Duration::from_millis(patience_ms);
            let dead = turn(patience, faulty) * u32::try_from(faulty).unwrap();
            assert!(dead + turn(patience, faulty) < patience, "{patience:?}, {faulty}");
        }
    }
}
