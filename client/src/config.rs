//! What a client is started with.

use bft_core::genesis::Genesis;
use crypto::{ClientSecret, ReplicaId};
use net::{ClientOptions, TransportOptions};
use std::time::Duration;

/// The configuration of a [`crate::Client`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The network, and the root of all trust.
    pub genesis: Genesis,
    /// What transactions are signed with.
    pub secret: ClientSecret,
    /// Where to begin. None: anywhere, so that clients spread.
    pub first_replica: Option<ReplicaId>,
    /// How long one replica has, connecting included, before the next one is asked.
    pub answer_timeout: Duration,
    /// How long a request is pursued, from the moment it is first sent.
    pub give_up: Duration,
    /// The first pause after a replica asked for patience; doubles up to `retry_cap`, with jitter.
    pub retry_first: Duration,
    /// The longest such pause.
    pub retry_cap: Duration,
    /// How long further answers are waited for once one replica has told the client's next sequence.
    pub session_patience: Duration,
    /// The largest UDP payload that is tried on the way to a replica, in bytes.
    pub mtu_upper_bound: u16,
}

impl ClientConfig {
    /// A configuration with default times.
    pub fn new(genesis: Genesis, secret: ClientSecret) -> ClientConfig {
        ClientConfig {
            genesis,
            secret,
            first_replica: None,
            answer_timeout: Duration::from_secs(4),
            give_up: Duration::from_secs(30),
            retry_first: Duration::from_millis(20),
            retry_cap: Duration::from_secs(1),
            session_patience: Duration::from_millis(500),
            mtu_upper_bound: TransportOptions::default().mtu_upper_bound,
        }
    }

    /// Bytes of the longest answer that is read: what a replica of this genesis can send, and no more.
    pub fn answer_bytes(&self) -> usize {
        let transaction = self.genesis.limits.transaction_bytes as usize + 4096;
        ClientOptions::default().limits.frame_bytes.max(transaction)
    }

    /// Transactions that may be in flight: half of the session window, at least one.
    pub fn in_flight(&self) -> usize {
        (self.genesis.limits.session_window as usize / 2).max(1)
    }
}
