//! Transactions of many clients.

use super::accounts;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::request::{Call, Request};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bft_core::verified::Verified;
use bytes::Bytes;
use crypto::{ClientSecret, Digest};

/// Bytes of a transaction's body.
pub const BODY_BYTES: usize = 512;

/// Transactions of a full block.
pub const BLOCK: usize = 512;

/// Clients that a consortium's transactions are from.
pub const CLIENTS: u64 = 64;

/// The keys of a client.
pub fn client(number: u64) -> ClientSecret {
    let mut seed = [0xc1; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    ClientSecret::from_seed(seed)
}

/// The body of a transaction: which accounts it writes, and filling.
pub fn body(number: u64) -> Bytes {
    let mut body = vec![0; BODY_BYTES];
    for (place, byte) in body.iter_mut().enumerate() {
        *byte = (number as usize).wrapping_mul(31).wrapping_add(place.wrapping_mul(7)) as u8;
    }
    accounts::name(number, &mut body);
    body.into()
}

/// Signed transactions of some clients in turn.
pub fn signed(count: usize, clients: usize, chain: &Digest) -> Vec<Item> {
    let clients = clients as u64;
    let sign = |number| {
        let sequence = 1 + number / clients;
        Transaction::sign(&client(number % clients), chain, Kind::Application, sequence, body(number))
    };
    (0..count as u64).map(|number| Item::new(chain, sign(number))).collect()
}

/// Transactions of a consortium whose clients do not sign, as they come from the edge of a replica. A number is used once.
pub struct Submissions {
    keys: Vec<crypto::ClientKey>,
    chain: Digest,
    next: u64,
}

impl Submissions {
    /// From the first one on.
    pub fn new(chain: Digest) -> Submissions {
        Submissions { keys: (0..CLIENTS).map(|number| client(number).public()).collect(), chain, next: 0 }
    }

    /// The next `count`, checked at `edge`.
    pub fn take(&mut self, count: usize, edge: &Edge) -> Vec<Verified<Request>> {
        let frames: Vec<Bytes> = (0..count).map(|_| self.frame()).collect();
        let checked = edge.client_frames(&frames).into_iter();
        checked.map(|request| request.expect("it is well formed")).collect()
    }

    fn frame(&mut self) -> Bytes {
        let number = self.next;
        self.next += 1;
        let key = self.keys[(number % CLIENTS) as usize];
        let transaction = Transaction::unsigned(key, Kind::Application, number / CLIENTS + 1, body(number));
        let call = Call::Submit(Payload::of(vec![Item::new(&self.chain, transaction)]));
        codec::encode(&Request { id: number, call }).into()
    }
}
