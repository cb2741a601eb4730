//! The load: transfers at a fixed rate, whatever the network does (open loop), so that an outage is felt by all who would
//! have been served in it.

use super::narration::Narration;
use app_examples::ledger::{AssetCode, Operation};
use bft_core::random::SplitMix64;
use bft_core::receipt::{ProvenReceipt, code};
use bft_core::transaction::{Kind, Transaction};
use client::Client;
use crypto::ClientKey;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What to submit, and how fast.
pub(super) struct Plan {
    pub transactions: u64,
    pub duration: Duration,
    pub asset: AssetCode,
    pub seed: [u8; 32],
}

/// A transaction whose receipt was proven.
pub(super) struct Sample {
    /// When it was due. Latency counts from here, so that a late client is no excuse.
    pub due: Instant,
    /// When its receipt was verified.
    pub proven_at: Instant,
    /// As it was signed.
    pub transaction: Transaction,
    /// Its receipt.
    pub proven: ProvenReceipt,
}

/// What came of the load.
pub(super) struct Load {
    /// In the order of the receipts.
    pub samples: Vec<Sample>,
    /// Why transactions have no receipt, or one that says refused.
    pub failures: Vec<String>,
}

impl Load {
    /// The first receipt of a transaction that was due after `instant`; else the last there is.
    pub(super) fn receipt_after(&self, instant: Instant) -> Option<&Sample> {
        self.samples.iter().find(|sample| sample.due > instant).or(self.samples.last())
    }
}

/// Submits everything, and waits for every receipt.
pub(super) async fn run(plan: &Plan, clients: &[Client], narration: &Narration) -> anyhow::Result<Load> {
    let keys: Vec<ClientKey> = clients.iter().map(Client::key).collect();
    let (results, mut arrived) = mpsc::unbounded_channel();
    let begun = Instant::now();
    narration.begin(plan.transactions);
    let mut load = Load { samples: Vec::new(), failures: Vec::new() };
    let mut next = 0;
    let mut choices = Choices::new(&plan.seed);
    loop {
        let done = (load.samples.len() + load.failures.len()) as u64;
        narration.progress(load.samples.len() as u64, plan.transactions, next - done);
        if done == plan.transactions {
            break;
        }
        let due = begun + plan.duration.mul_f64(next as f64 / plan.transactions as f64);
        tokio::select! {
            result = arrived.recv() => match result {
                Some(Ok(sample)) => load.samples.push(sample),
                Some(Err(failure)) => load.failures.push(failure),
                None => unreachable!("this task holds a sender"),
            },
            () = tokio::time::sleep_until(due.into()), if next < plan.transactions => {
                let from = (next % clients.len() as u64) as usize;
                let operation = choices.transfer(plan.asset, from, &keys, next);
                let (client, results) = (clients[from].clone(), results.clone());
                tokio::spawn(async move {
                    // The receiver is there until every result has arrived, or the demo is over.
                    let _ = results.send(submit(&client, &operation, due).await);
                });
                next += 1;
            }
        }
    }
    narration.end();
    Ok(load)
}

async fn submit(client: &Client, operation: &Operation, due: Instant) -> Result<Sample, String> {
    let transaction = client.sign(Kind::Application, operation.encode());
    match client.submit_transaction(transaction.clone()).await {
        Ok(proven) if proven.receipt.code == code::OK => {
            Ok(Sample { due, proven_at: Instant::now(), transaction, proven })
        }
        Ok(proven) => Err(format!("refused: {}", String::from_utf8_lossy(&proven.receipt.answer))),
        Err(error) => Err(error.to_string()),
    }
}

/// Who pays whom how much: the same for the same seed.
struct Choices(SplitMix64);

impl Choices {
    fn new(seed: &[u8; 32]) -> Choices {
        let mut word = [0; 8];
        word.copy_from_slice(&seed[8..16]);
        Choices(SplitMix64(u64::from_le_bytes(word)))
    }

    fn transfer(&mut self, asset: AssetCode, from: usize, keys: &[ClientKey], number: u64) -> Operation {
        let others = keys.len() as u64 - 1;
        let to = (from + 1 + (self.0.draw() % others) as usize) % keys.len();
        // Small against the endowment: nobody runs out of money, however the transfers are ordered.
        let amount = 1 + self.0.draw() % 10;
        Operation::Transfer { asset, to: keys[to], amount, memo: format!("invoice {number}").into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_pays_himself_and_equal_seeds_pay_alike() {
        let keys: Vec<ClientKey> = (0..3).map(|i| ClientKey([i; 32])).collect();
        let asset: AssetCode = "EUR".parse().unwrap();
        let all = |seed| -> Vec<Operation> {
            let mut choices = Choices::new(&[seed; 32]);
            (0..100).map(|i| choices.transfer(asset, i % 3, &keys, i as u64)).collect()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        for (i, operation) in all(7).iter().enumerate() {
            let Operation::Transfer { to, amount, .. } = operation else { panic!("{operation}") };
            assert_ne!(to, &keys[i % 3]);
            assert!((1..=10).contains(amount));
        }
    }
}
