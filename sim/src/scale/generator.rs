//! Clients that submit as fast as they are answered.

use super::committee::Load;
use bft_core::codec;
use bft_core::request::{Advice, Answer, Call, Reply, Request};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bft_core::types::{Digest, Height, Time};
use bytes::Bytes;
use crypto::ClientSecret;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long it takes until all transactions are in flight.
const SPREAD: Duration = Duration::from_millis(500);

/// Verified certificates that are remembered.
const KNOWN: usize = 1024;

/// One client. Its number is also that of its connection, and it stays with one replica.
#[derive(Debug)]
struct Client {
    secret: ClientSecret,
    next: u64,
    /// Frames without a receipt, and since when.
    open: BTreeMap<u64, (Time, Bytes)>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Generator {
    chain: Digest,
    unsigned: bool,
    in_flight: usize,
    clients: Vec<Client>,
    /// Heights whose certificates were verified.
    known: BTreeSet<Height>,
    bodies: Vec<Bytes>,
    /// What the first client submits before all else.
    first: Vec<Bytes>,
    /// Answers to these that are still missing.
    preparing: usize,
    /// How long transactions took whose receipts came, in order.
    pub latencies: Vec<(Time, Duration)>,
    /// Receipts with a code that is not zero.
    pub refused: u64,
}

/// A client's frame.
pub(super) type Submission = (usize, Bytes);

impl Generator {
    pub fn new(
        chain: Digest,
        unsigned: bool,
        in_flight: usize,
        secrets: &[ClientSecret],
        load: &Load,
    ) -> Generator {
        let client =
            |secret: &ClientSecret| Client { secret: secret.clone(), next: 1, open: BTreeMap::new() };
        Generator {
            chain,
            unsigned,
            in_flight,
            clients: secrets.iter().map(client).collect(),
            known: BTreeSet::new(),
            bodies: load.bodies.clone(),
            first: load.first.clone(),
            preparing: load.first.len(),
            latencies: Vec::new(),
            refused: 0,
        }
    }

    /// What is submitted at the beginning.
    pub fn begin(&mut self, now: Time) -> Vec<Submission> {
        assert!(self.preparing > 0, "the load begins when what comes first has been answered");
        let first = std::mem::take(&mut self.first);
        first.into_iter().map(|body| (0, self.submit(now, 0, body))).collect()
    }

    /// Whether the load itself has begun.
    pub fn has_begun(&self) -> bool {
        self.preparing == 0
    }

    /// When each client submits first, which begins the load: not all at once, or transactions would stay together for ever.
    pub fn beginnings(&self) -> impl Iterator<Item = (Duration, usize)> + use<> {
        let (clients, all) = (self.clients.len(), self.in_flight * self.clients.len());
        (0..all).map(move |number| (SPREAD.mul_f64(number as f64 / all as f64), number % clients))
    }

    /// A client submits one more.
    pub fn submit_again(&mut self, now: Time, client: usize) -> Bytes {
        let body = self.bodies[client].clone();
        self.submit(now, client, body)
    }

    fn submit(&mut self, now: Time, client: usize, body: Bytes) -> Bytes {
        let Client { secret, next, open } = &mut self.clients[client];
        let sequence = *next;
        *next += 1;
        let transaction = if self.unsigned {
            Transaction::unsigned(secret.public(), Kind::Application, sequence, body)
        } else {
            Transaction::sign_simulated(secret, &self.chain, Kind::Application, sequence, body)
        };
        let payload = Payload::of(vec![Item::new(&self.chain, transaction)]);
        let frame = Bytes::from(codec::encode(&Request { id: sequence, call: Call::Submit(payload) }));
        open.insert(sequence, (now, frame.clone()));
        frame
    }

    /// Whether a certificate is seen for the first time and therefore verified: clients of one program share what they have verified
    /// (`client::Client::connect_also`).
    pub fn is_news(&mut self, certified: Height) -> bool {
        if self.known.len() > KNOWN {
            self.known.pop_first();
        }
        self.known.insert(certified)
    }

    /// Takes a reply; gives what follows from it.
    pub fn reply(&mut self, now: Time, client: usize, reply: &Reply) -> Next {
        let Reply { id, answer } = reply;
        let open = &mut self.clients[client].open;
        match answer {
            Answer::Receipt(receipt) => {
                let Some((since, _)) = open.remove(id) else { return Next::Nothing };
                self.refused += u64::from(receipt.receipt.code != 0);
                if self.preparing > 0 {
                    self.preparing -= 1;
                    return if self.preparing == 0 { Next::Load } else { Next::Nothing };
                }
                self.latencies.push((now, now.since(since)));
                Next::Submit(self.submit_again(now, client))
            }
            Answer::Refused { advice: Advice::Retry | Advice::AskAnother, .. } => {
                open.get(id).map_or(Next::Nothing, |(_, frame)| Next::Again(frame.clone()))
            }
            _ => Next::Nothing,
        }
    }
}

/// What follows from a reply.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// The load begins.
    Load,
    /// The client submits another transaction.
    Submit(Bytes),
    /// The client submits the same one after a pause.
    Again(Bytes),
}
