//! Reaching a network from a command.

use anyhow::{Context, bail};
use bft_core::genesis::Genesis;
use client::{Attempts, Client, ClientConfig, ClientError};
use crypto::{ClientKey, ClientSecret, ReplicaId};
use std::path::PathBuf;
use std::time::Duration;

/// How long one replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// The replicas to ask: this one, or all.
pub(super) fn chosen(genesis: &Genesis, replica: Option<u16>) -> anyhow::Result<Vec<ReplicaId>> {
    match replica {
        None => Ok(genesis.committee().members().collect()),
        Some(replica) if genesis.committee().contains(ReplicaId(replica)) => Ok(vec![ReplicaId(replica)]),
        Some(replica) => bail!(
            "the genesis has no replica {replica}; its replicas are 0 to {}",
            genesis.replicas.len().saturating_sub(1)
        ),
    }
}

/// Asks several replicas at once; gives what each answers, or why it does not.
pub(super) async fn ask_each<T, F>(
    genesis: &Genesis,
    wanted: &[ReplicaId],
    ask: impl Fn(Client, ReplicaId) -> F,
) -> anyhow::Result<Vec<(ReplicaId, Result<T, String>)>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let config = ClientConfig::new(genesis.clone(), ClientSecret::generate()?);
    let client = match Client::connect(config).await {
        Ok(client) => client,
        // Nobody is there. Then that is the answer.
        Err(ClientError::Unreachable(attempts)) => {
            let unreached = |replica: &ReplicaId| (*replica, Err(reason(&attempts, *replica)));
            return Ok(wanted.iter().map(unreached).collect());
        }
        Err(error) => return Err(error.into()),
    };
    let asked: Vec<_> =
        wanted.iter().map(|replica| (*replica, tokio::spawn(ask(client.clone(), *replica)))).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (replica, answer) in asked {
        answers.push((replica, answer.await?.map_err(|error| format!("{error:#}"))));
    }
    Ok(answers)
}

/// One replica's answer, or why there is none within a few seconds.
pub(super) async fn patiently<T>(
    replica: ReplicaId,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(ClientError::Unreachable(last) | ClientError::NoAnswer { last, .. })) => {
            bail!(reason(&last, replica))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => bail!("no answer within {} s", PATIENCE.as_secs()),
    }
}

/// What one replica did, without its name: whoever prints it has that.
fn reason(attempts: &Attempts, replica: ReplicaId) -> String {
    let why = attempts.0.get(&replica).map_or("not asked", String::as_str);
    why.trim_start_matches(&format!("{replica}: ")).to_owned()
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
