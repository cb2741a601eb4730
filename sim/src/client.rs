//! Clients of the simulation: they keep sequences, fail over, and believe only proven receipts.

use crate::random::Random;
use bft_core::codec;
use bft_core::request::{Advice, Answer, Call, Reply, Request};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bft_core::types::{Digest, ReplicaId, Time};
use bytes::Bytes;
use crypto::ClientSecret;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a client waits before it tries another replica.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How far sequences may run ahead of the lowest without a receipt: further, and replicas would pass that one over.
pub const SESSION_WINDOW: u32 = 64;

/// A transaction without a receipt.
#[derive(Clone, Debug)]
struct Open {
    payload: Payload,
    since: Time,
    retry_at: Time,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its key.
    pub secret: ClientSecret,
    chain: Digest,
    random: Random,
    replicas: usize,
    at: ReplicaId,
    next: u64,
    open: BTreeMap<u64, Open>,
    /// Transactions with a believed receipt.
    pub done: u64,
    /// The longest wait for one.
    pub longest_wait: Duration,
    /// Most transactions without a receipt at once.
    depth: usize,
}

/// A frame for a replica.
pub type Outgoing = (ReplicaId, Bytes);

/// A new transaction.
#[derive(Debug)]
pub struct Submission {
    /// Its sequence.
    pub sequence: u64,
    /// What the application gets.
    pub body: Bytes,
    /// What goes to a replica.
    pub frame: Outgoing,
}

impl Client {
    /// A client that starts at a random replica.
    pub fn new(secret: ClientSecret, chain: Digest, mut random: Random, replicas: usize) -> Client {
        let at = ReplicaId(random.index(replicas) as u16);
        let depth = random.between(1, 6) as usize;
        Client {
            secret,
            chain,
            random,
            replicas,
            at,
            next: 1,
            open: BTreeMap::new(),
            done: 0,
            longest_wait: Duration::ZERO,
            depth,
        }
    }

    /// From here on it turns to the first so many replicas only.
    pub fn keep_to_first(&mut self, replicas: usize) {
        self.replicas = replicas;
        self.at = ReplicaId(self.at.0 % replicas as u16);
    }

    /// From here on it turns to this replica first, and has so many transactions without a receipt at once.
    pub fn press(&mut self, at: ReplicaId, depth: usize) {
        (self.at, self.depth) = (at, depth);
    }

    /// Whether it may submit another one.
    pub fn is_free(&self) -> bool {
        let lowest = self.open.keys().next().copied().unwrap_or(self.next);
        self.open.len() < self.depth && self.next - lowest < u64::from(SESSION_WINDOW)
    }

    /// Transactions without a receipt.
    pub fn outstanding(&self) -> usize {
        self.open.len()
    }

    /// Sequences without a receipt.
    pub fn open(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    /// Submits a new transaction.
    pub fn submit(&mut self, now: Time) -> Submission {
        let sequence = self.next;
        self.next += 1;
        // Few registers, so that clients meet; a quarter are reads; some are refused.
        let register = self.random.below(220) as u8;
        let mut body = vec![if register > 200 { register } else { register % 8 }];
        body.extend_from_slice(&sequence.to_be_bytes());
        body.resize(9 + self.random.index(60).saturating_sub(15), 0x5a);
        let body = Bytes::from(body);
        let transaction =
            Transaction::sign_simulated(&self.secret, &self.chain, Kind::Application, sequence, body.clone());
        let payload = Payload::of(vec![Item::new(&self.chain, transaction)]);
        let frame = request(sequence, &payload);
        self.open.insert(sequence, Open { payload, since: now, retry_at: now + PATIENCE });
        Submission { sequence, body, frame: (self.at, frame) }
    }

    /// Says again what was not answered in time, elsewhere.
    pub fn tick(&mut self, now: Time) -> Vec<Outgoing> {
        let late = self.open.values().any(|open| open.retry_at <= now);
        if late {
            self.at = ReplicaId((self.at.0 + 1) % self.replicas as u16);
        }
        let at = self.at;
        self.open
            .iter_mut()
            .filter(|(_, open)| open.retry_at <= now)
            .map(|(sequence, open)| {
                open.retry_at = now + PATIENCE;
                (at, request(*sequence, &open.payload))
            })
            .collect()
    }

    /// Takes a reply; gives the sequence and receipt if there is one.
    pub fn reply(&mut self, now: Time, reply: Reply) -> Option<(u64, bft_core::receipt::ProvenReceipt)> {
        let Reply { id, answer } = reply;
        let open = self.open.get_mut(&id)?;
        match answer {
            Answer::Receipt(receipt) => {
                let item = open.payload.items(&self.chain).ok()?.first()?.digest;
                // A receipt of another transaction is a lie, or a stale answer: neither ends the wait.
                if receipt.receipt.transaction != item {
                    return None;
                }
                self.longest_wait = self.longest_wait.max(now.since(open.since));
                self.open.remove(&id);
                self.done += 1;
                Some((id, *receipt))
            }
            Answer::Refused { advice: Advice::Retry | Advice::AskAnother, .. } => {
                open.retry_at = open.retry_at.min(now + Duration::from_millis(100));
                None
            }
            Answer::Refused { advice: Advice::Abandon, .. }
            | Answer::Query(_)
            | Answer::Reading(_)
            | Answer::Signed(_)
            | Answer::Session(_)
            | Answer::Status(_)
            | Answer::Receipts(_)
            | Answer::Evidence(_) => None,
        }
    }
}

fn request(id: u64, payload: &Payload) -> Bytes {
    codec::encode(&Request { id, call: Call::Submit(payload.clone()) }).into()
}
