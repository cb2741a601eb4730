//! The load: clients that submit as fast as they are answered, and remember everything.

use crate::dice::Dice;
use anyhow::{Context, bail};
use app_examples::ledger::{Answer, AssetCode, Ledger, Operation, Query};
use bft_core::receipt::ProvenReceipt;
use bft_core::transaction::{Kind, Transaction};
use client::{Client, Read, SubmitError};
use crypto::ClientKey;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Transactions in flight per client.
const IN_FLIGHT: usize = 6;

/// How long a client pauses between two reads.
const BETWEEN_READS: Duration = Duration::from_millis(20);

/// What every client is given at first. Little, so that transfers are refused at times.
const ENDOWMENT: u64 = 500;

/// A transaction and what came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Who, by number.
    pub client: usize,
    /// What.
    pub operation: Operation,
    /// As it was signed.
    pub transaction: Transaction,
    /// When it was submitted first.
    pub begun: Instant,
    /// When its receipt was proven.
    pub done: Instant,
    /// The receipt.
    pub proven: ProvenReceipt,
    /// How often its outcome was unknown before.
    pub unknown: u64,
}

/// A linearizable read and its answer.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it was asked.
    pub begun: Instant,
    /// When the answer was there.
    pub done: Instant,
    /// Whose balance.
    pub account: ClientKey,
    /// The height of the state.
    pub height: u64,
    /// What it said.
    pub balance: u64,
}

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Submit,
    /// Nothing new.
    Hold,
    Stop,
}

/// What the clients share.
#[derive(Debug, Default)]
struct Shared {
    /// By client.
    acknowledged: Vec<AtomicU64>,
    outcomes: Mutex<Vec<Outcome>>,
    looks: Mutex<Vec<Look>>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Load {
    /// Endows every client, and sets them to work. The first one may issue.
    ///
    /// # Errors
    /// If the network does not serve.
    pub async fn start(clients: &[Client], asset: AssetCode, seed: u64) -> anyhow::Result<Load> {
        let acknowledged = clients.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { acknowledged, ..Shared::default() });
        let keys: Vec<ClientKey> = clients.iter().map(Client::key).collect();
        for key in &keys {
            let issue = Operation::Issue { asset, to: *key, amount: ENDOWMENT };
            shared.pursue(&clients[0], 0, issue).await?;
        }
        let (orders, _) = watch::channel(Order::Submit);
        let mut tasks = JoinSet::new();
        for (number, client) in clients.iter().enumerate() {
            for lane in 0..IN_FLIGHT {
                let (shared, client, keys) = (Arc::clone(&shared), client.clone(), keys.clone());
                let mut dice = Dice::new(seed, 1000 + (number * IN_FLIGHT + lane) as u64);
                let mut orders = orders.subscribe();
                tasks.spawn(async move {
                    while *orders.wait_for(|order| *order != Order::Hold).await? == Order::Submit {
                        let others: Vec<ClientKey> =
                            keys.iter().filter(|key| **key != client.key()).copied().collect();
                        let operation = Operation::Transfer {
                            asset,
                            to: dice.pick(&others),
                            amount: dice.among(1..=60),
                            memo: vec![b'.'; dice.among(0..=400) as usize].into(),
                        };
                        shared.pursue(&client, number, operation).await?;
                    }
                    Ok(())
                });
            }
        }
        for (number, client) in clients.iter().enumerate() {
            let (shared, client, keys) = (Arc::clone(&shared), client.clone(), keys.clone());
            let mut dice = Dice::new(seed, 500 + number as u64);
            let mut orders = orders.subscribe();
            tasks.spawn(async move {
                while *orders.wait_for(|order| *order != Order::Hold).await? == Order::Submit {
                    shared.look(&client, asset, dice.pick(&keys)).await?;
                    tokio::time::sleep(BETWEEN_READS).await;
                }
                Ok(())
            });
        }
        Ok(Load { shared, orders, tasks })
    }

    /// Has nothing new submitted for a while, or goes on.
    pub fn hold(&self, hold: bool) {
        self.orders.send_replace(if hold { Order::Hold } else { Order::Submit });
    }

    /// Receipts so far, by client.
    pub fn acknowledged(&self) -> Vec<u64> {
        self.shared.acknowledged.iter().map(|count| count.load(SeqCst)).collect()
    }

    /// A client that gave up, because of an answer that it should never get.
    pub fn failed(&mut self) -> Option<String> {
        let ended = self.tasks.try_join_next()?;
        Some(match ended {
            Ok(Ok(())) => "a client stopped on its own".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        })
    }

    /// Stops the clients, and gives everything that was submitted, once every outcome is known.
    ///
    /// # Errors
    /// If some outcome is not to be had within `patience`, or is one that should never be.
    pub async fn stop(mut self, patience: Duration) -> anyhow::Result<(Vec<Outcome>, Vec<Look>)> {
        self.orders.send_replace(Order::Stop);
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(patience, all).await;
        waited.with_context(|| {
            format!("not every outcome is known {} s after the end", patience.as_secs())
        })??;
        let mut outcomes = self.shared.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut looks = self.shared.looks.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((std::mem::take(&mut *outcomes), std::mem::take(&mut *looks)))
    }
}

impl Shared {
    /// Reads a balance. That there is no answer is no violation here: the submissions show whether clients are served.
    async fn look(&self, client: &Client, asset: AssetCode, account: ClientKey) -> anyhow::Result<()> {
        let begun = Instant::now();
        let query = Query::Balance { asset, account }.encode();
        let Ok((answer, height)) = client.read(&Ledger, &query, Read::Linearizable).await else {
            return Ok(());
        };
        let done = Instant::now();
        let bytes = answer.map_err(|(code, why)| anyhow::anyhow!("a read is refused with {code}: {why}"))?;
        let Answer::Balance(balance) = Answer::decode(&bytes)? else {
            bail!("a read of a balance has another answer");
        };
        let look = Look { begun, done, account, height, balance };
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
        Ok(())
    }

    /// Submits one operation, the same signed bytes again and again, until its receipt is proven.
    async fn pursue(&self, client: &Client, number: usize, operation: Operation) -> anyhow::Result<()> {
        let transaction = client.sign(Kind::Application, operation.encode());
        let begun = Instant::now();
        let mut unknown = 0;
        let proven = loop {
            match client.submit_transaction(transaction.clone()).await {
                Ok(proven) => break proven,
                Err(SubmitError::Unknown { .. } | SubmitError::Unreachable(_)) => unknown += 1,
                Err(error) => bail!("client {number}, sequence {}: {error}", transaction.sequence),
            }
        };
        let done = Instant::now();
        let outcome = Outcome { client: number, operation, transaction, begun, done, proven, unknown };
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        self.acknowledged[number].fetch_add(1, SeqCst);
        Ok(())
    }
}
