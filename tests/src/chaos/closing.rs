//! What is asked of everybody once the load has ended.

use super::audit::{self, Books};
use super::load::{Load, Outcome};
use super::watch::{self, Watch};
use super::world::World;
use super::{Figures, LOOK_EVERY, SETTLE_PATIENCE, SILENCE, connect};
use crate::dice::Dice;
use anyhow::{Context, bail, ensure};
use app_examples::ledger::{Answer, Ledger, Query};
use bft_core::receipt::ProvenReceipt;
use bft_core::request::StatusReport;
use client::{Client, ClientError};
use crypto::{ClientSecret, ReplicaId};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Of so many transactions the very same bytes are sent again at the end; drawn, if there are more.
const ASKED_AGAIN: usize = 1000;

/// What a replica says of a sequence that has executed, whose receipt it does not have.
const NOT_KEPT: &str = "its receipt is no longer kept here";

/// Stops the load and checks the books.
pub(super) async fn close(
    clients: &[Client],
    world: &mut World,
    load: Load,
    watch: &Watch,
    calm: Instant,
    seed: u64,
) -> anyhow::Result<Figures> {
    let (outcomes, looks) = load.stop(SETTLE_PATIENCE).await?;
    let outcomes = Arc::new(outcomes);
    let ended = Instant::now();
    let books = audit::check(&outcomes).map_err(anyhow::Error::msg)?;
    audit::check_reads(&outcomes, &looks).map_err(anyhow::Error::msg)?;
    let (silence, until) = audit::longest_silence(&outcomes, calm);
    let until = until - calm;
    ensure!(silence < SILENCE, "nobody was served for {silence:.1?}, until {until:.1?} after the begin");
    let sample = Dice::new(seed, 1).some(outcomes.iter().collect(), ASKED_AGAIN);
    are_still_there(clients, &sample).await?;
    let end = agreed(world, watch, ended).await?;
    let (found, not_kept) = all_keep(world, &outcomes).await?;
    ask_the_ledger(&clients[0], world, &books).await?;
    Ok(Figures {
        acknowledged: outcomes.len(),
        reads: looks.len(),
        refused: books.refused,
        unknown: outcomes.iter().map(|outcome| outcome.unknown).sum(),
        heights: end.stable,
        view: end.view,
        silence,
        silence_until: until,
        found,
        not_kept,
        ..Figures::default()
    })
}

/// The very same transactions again: executed once, and proven where they were.
async fn are_still_there(clients: &[Client], outcomes: &[&Outcome]) -> anyhow::Result<()> {
    /// At once: below what a client may have in flight.
    const TOGETHER: usize = 100;
    for some in outcomes.chunks(TOGETHER) {
        let mut asked = JoinSet::new();
        for outcome in some.iter().copied().cloned() {
            let client = clients[outcome.client].clone();
            asked.spawn(async move {
                let again = client.submit_transaction(outcome.transaction.clone()).await;
                let again = again.with_context(|| format!("what became of {}?", outcome.operation))?;
                let places = [&again, &outcome.proven].map(|proven| (proven.height(), proven.index));
                ensure!(
                    places[0] == places[1] && again.receipt == outcome.proven.receipt,
                    "{} was acknowledged at {:?} and is at {:?}",
                    outcome.operation,
                    places[1],
                    places[0]
                );
                anyhow::Ok(())
            });
        }
        while let Some(one) = asked.join_next().await {
            one??;
        }
    }
    Ok(())
}

/// Every replica shows the receipt of everything that was acknowledged, with a proof. One that has fetched the state of others
/// may have none of before, and says so. Gives how many were shown, and how many were not kept.
async fn all_keep(world: &mut World, outcomes: &Arc<Vec<Outcome>>) -> anyhow::Result<(usize, usize)> {
    /// At once, of each replica.
    const TOGETHER: usize = 16;
    let mut asked = JoinSet::new();
    for replica in world.consortium.genesis.committee().members() {
        let may_lack = world.has_fetched_state(replica.index());
        // Nobody is paused any more: a late answer is a busy machine's, and asking again would keep it busy.
        let client =
            connect(world, ClientSecret::generate()?, Some(replica.index()), SETTLE_PATIENCE / 3).await?;
        for lane in 0..TOGETHER {
            let client = client.clone();
            let outcomes = Arc::clone(outcomes);
            asked.spawn(async move {
                let mut found = 0;
                let mine = outcomes.iter().skip(lane).step_by(TOGETHER);
                let all = mine.len();
                for outcome in mine {
                    found += usize::from(keeps(&client, replica, outcome, may_lack).await?);
                }
                anyhow::Ok((found, all - found))
            });
        }
    }
    let mut sum = (0, 0);
    while let Some(one) = asked.join_next().await {
        let (found, not_kept) = one??;
        sum = (sum.0 + found, sum.1 + not_kept);
    }
    Ok(sum)
}

/// Whether a replica shows this receipt. That it has lost it is an error, unless it may lack it.
async fn keeps(
    client: &Client,
    replica: ReplicaId,
    outcome: &Outcome,
    may_lack: bool,
) -> anyhow::Result<bool> {
    let Outcome { operation, transaction, proven, .. } = outcome;
    let until = Instant::now() + SETTLE_PATIENCE;
    loop {
        match client.receipt_kept_by(replica, transaction.client, transaction.sequence).await {
            Ok(kept) => {
                let same = |kept: &ProvenReceipt| {
                    (kept.height(), kept.index, &kept.receipt)
                        == (proven.height(), proven.index, &proven.receipt)
                };
                ensure!(same(&kept), "{operation} has another receipt at {replica}: {:?}", kept.receipt);
                return Ok(true);
            }
            // The connection was lost, perhaps.
            Err(ClientError::NoAnswer { .. }) if Instant::now() < until => {}
            Err(error @ ClientError::NoAnswer { .. }) => {
                bail!("{replica} does not say what became of {operation}: {error}")
            }
            Err(ClientError::Refused { sentence, .. }) if may_lack && sentence.contains(NOT_KEPT) => {
                return Ok(false);
            }
            Err(error) => bail!("{replica} has lost {operation}, which was acknowledged: {error}"),
        }
    }
}

/// Waits until all replicas end at one height, executed and certified, and gives it.
pub(super) async fn agreed(world: &mut World, watch: &Watch, since: Instant) -> anyhow::Result<StatusReport> {
    loop {
        world.check()?;
        if let Some(violation) = watch.violation() {
            bail!(violation);
        }
        let reports = watch.reports(since);
        let end = |report: &StatusReport| (report.executed, report.stable, report.state_root);
        if let Some(first) = reports.first()
            && first.state_root.is_some()
            && reports.len() == world.consortium.genesis.replicas.len()
            && reports.iter().all(|report| report.is_settled() && end(report) == end(first))
        {
            return Ok(first.clone());
        }
        ensure!(
            since.elapsed() < SETTLE_PATIENCE,
            "no common end {} s after the load\n{}",
            SETTLE_PATIENCE.as_secs(),
            watch::in_words(&reports)
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the ledger says is what follows from the receipts.
async fn ask_the_ledger(client: &Client, world: &World, books: &Books) -> anyhow::Result<()> {
    let asset = world.consortium.asset();
    for (account, balance) in &books.balances {
        let said = ask(client, Query::Balance { asset, account: *account }).await?;
        ensure!(said == Answer::Balance(*balance), "{account} should hold {balance}: {said:?}");
    }
    let Answer::Supply(supply) = ask(client, Query::Supply { asset }).await? else {
        bail!("a question about the supply has another answer");
    };
    let held: u64 = books.balances.values().sum();
    ensure!(
        supply.outstanding() == Some(books.issued) && held == books.issued,
        "{} were issued, {held} are in accounts, and the ledger says {supply:?}",
        books.issued
    );
    Ok(())
}

async fn ask(client: &Client, query: Query) -> anyhow::Result<Answer> {
    let (answer, _) = client.query(&Ledger, &query.encode()).await?;
    Ok(Answer::decode(&answer.map_err(|(code, why)| anyhow::anyhow!("refused with {code}: {why}"))?)?)
}
