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

/// Certificates that a client remembers.
const KNOWN: usize = 1024;

/// One client. Its number is also that of its connection, and it stays with one replica.
#[derive(Debug)]
struct Client {
    secret: ClientSecret,
    next: u64,
    /// Frames without a receipt, and since when.
    open: BTreeMap<u64, (Time, Bytes)>,
    /// Heights whose certificates it has verified.
    known: BTreeSet<Height>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Generator {
    chain: Digest,
    unsigned: bool,
    in_flight: usize,
    clients: Vec<Client>,
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
        let client = |secret: &ClientSecret| Client {
            secret: secret.clone(),
            next: 1,
            open: BTreeMap::new(),
            known: BTreeSet::new(),
        };
        Generator {
            chain,
            unsigned,
            in_flight,
            clients: secrets.iter().map(client).collect(),
            bodies: load.bodies.clone(),
            first: load.first.clone(),
            preparing: load.first.len(),
            latencies: Vec::new(),
            refused: 0,
        }
    }

    /// What is submitted at the beginning.
    pub fn begin(&mut self, now: Time) -> Vec<Submission> {
        if self.preparing == 0 {
            return self.begin_load(now);
        }
        let first = std::mem::take(&mut self.first);
        first.into_iter().map(|body| (0, self.submit(now, 0, body))).collect()
    }

    /// Whether the load itself has begun.
    pub fn has_begun(&self) -> bool {
        self.preparing == 0
    }

    fn begin_load(&mut self, now: Time) -> Vec<Submission> {
        let (rounds, clients) = (self.in_flight, self.clients.len());
        let each = (0..rounds * clients).map(|number| number % clients);
        each.map(|client| (client, self.submit_again(now, client))).collect()
    }

    fn submit_again(&mut self, now: Time, client: usize) -> Bytes {
        let body = self.bodies[client].clone();
        self.submit(now, client, body)
    }

    fn submit(&mut self, now: Time, client: usize, body: Bytes) -> Bytes {
        let Client { secret, next, open, .. } = &mut self.clients[client];
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

    /// When each of so many submissions leaves that begin the load: not all at once, or they would stay together for ever.
    pub fn stagger(number: usize, of: usize) -> Duration {
        SPREAD.mul_f64(number as f64 / of as f64)
    }

    /// Whether a client sees a certificate for the first time, which it then verifies, as each client does for itself.
    pub fn is_news(&mut self, client: usize, certified: Height) -> bool {
        let known = &mut self.clients[client].known;
        if known.len() > KNOWN {
            known.pop_first();
        }
        known.insert(certified)
    }

    /// Takes a reply; gives what the client submits then, and whether only after a pause.
    pub fn reply(&mut self, now: Time, client: usize, frame: &[u8]) -> (Vec<Submission>, bool) {
        let Ok(Reply { id, answer }) = codec::decode::<Reply>(frame, usize::MAX) else {
            return (Vec::new(), false);
        };
        let open = &mut self.clients[client].open;
        match answer {
            Answer::Receipt(receipt) => {
                let Some((since, _)) = open.remove(&id) else { return (Vec::new(), false) };
                self.refused += u64::from(receipt.receipt.code != 0);
                if self.preparing > 0 {
                    self.preparing -= 1;
                    return (if self.preparing == 0 { self.begin_load(now) } else { Vec::new() }, false);
                }
                self.latencies.push((now, now.since(since)));
                (vec![(client, self.submit_again(now, client))], false)
            }
            Answer::Refused { advice: Advice::Retry | Advice::AskAnother, .. } => {
                let again = open.get(&id).map(|(_, frame)| (client, frame.clone()));
                (again.into_iter().collect(), true)
            }
            _ => (Vec::new(), false),
        }
    }
}
