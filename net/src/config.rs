//! What a network is started with.

use std::net::SocketAddr;
use std::time::Duration;

use crypto::{IdentitySecret, ReplicaId};

use crate::{Hello, Limits, NetError, Roster};

/// The configuration of one replica's network.
#[derive(Debug)]
pub struct NetConfig {
    /// Who this replica is. The roster binds it to the public key of `secret`.
    pub me: ReplicaId,
    /// The key of this replica.
    pub secret: IdentitySecret,
    /// The UDP address to listen on, and to dial from. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// All replicas, this one included.
    pub roster: Roster,
    /// What this replica says of itself.
    pub hello: Hello,
    /// How many epochs a peer may be ahead or behind. 0: equal epochs only. A replica that missed a change of epoch can
    /// only catch up from peers that tolerate the distance.
    pub epoch_tolerance: u64,
    /// Every bound.
    pub limits: Limits,
    /// How QUIC behaves.
    pub transport: TransportOptions,
}

/// How QUIC behaves. The defaults suit data centres and wide-area networks alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// How often the dialling replica asks for a sign of life.
    pub keep_alive: Duration,
    /// After how long without a packet a connection between replicas ends and is dialled again: the time in which a dead
    /// peer or a one-way partition (threat 70) is noticed.
    pub idle_timeout: Duration,
    /// The same for clients, at the most; the client keeps its connection alive, or chooses a shorter time.
    pub client_idle_timeout: Duration,
    /// How long one attempt to reach a peer may take, hello included.
    pub dial_timeout: Duration,
    /// The first pause between attempts; doubles up to `redial_cap`, with jitter.
    pub redial_first: Duration,
    /// The longest pause between attempts.
    pub redial_cap: Duration,
    /// The round-trip time assumed before one is measured: a third of the first retransmission's delay.
    pub initial_rtt: Duration,
    /// The largest UDP payload that path MTU discovery tries, in bytes: 1200 to 65527. Above 6400 on loopback, segmentation
    /// offload collapses; publish measurements at 1452.
    pub mtu_upper_bound: u16,
    /// Whether several packets are handed to the kernel at once (UDP GSO). Switch off where a driver mishandles it.
    pub segmentation_offload: bool,
    /// The UDP socket's receive and send buffers asked for, in bytes; the kernel may grant less.
    pub socket_buffer_bytes: usize,
}

impl Default for TransportOptions {
    fn default() -> TransportOptions {
        TransportOptions {
            keep_alive: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(5),
            client_idle_timeout: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(3),
            redial_first: Duration::from_millis(50),
            redial_cap: Duration::from_secs(2),
            initial_rtt: Duration::from_millis(30),
            mtu_upper_bound: 1452,
            segmentation_offload: true,
            socket_buffer_bytes: 4 << 20,
        }
    }
}

impl NetConfig {
    /// A configuration with default limits and transport; `hello` says who this replica is.
    pub fn new(secret: IdentitySecret, listen: SocketAddr, roster: Roster, hello: Hello) -> NetConfig {
        NetConfig {
            me: hello.replica,
            secret,
            listen,
            roster,
            hello,
            epoch_tolerance: 0,
            limits: Limits::default(),
            transport: TransportOptions::default(),
        }
    }

    /// Refuses a configuration that could not work, with the remedy.
    pub(crate) fn validate(&self) -> Result<(), NetError> {
        self.limits.validate()?;
        self.transport.validate()?;
        check_membership(self.me, self.secret.public(), &self.roster, &self.hello)
    }
}

/// This replica must be in its own roster, under its own key, and say so.
pub(crate) fn check_membership(
    me: ReplicaId,
    identity: crypto::Identity,
    roster: &Roster,
    hello: &Hello,
) -> Result<(), NetError> {
    let reason = match roster.member(me) {
        None => format!("this replica is {me}, and the roster has no {me}; check the id and the genesis"),
        Some(member) if member.identity != identity => format!(
            "the roster gives {me} the identity {}, but the key file holds {identity}; use the key file of {me}",
            member.identity
        ),
        Some(_) if hello.replica != me => {
            format!("this replica is {me}, but its hello says {}; make them equal", hello.replica)
        }
        Some(_) => return Ok(()),
    };
    Err(NetError::config(reason))
}

impl TransportOptions {
    fn validate(&self) -> Result<(), NetError> {
        let timeout_remedy = if self.keep_alive.is_zero() || self.keep_alive * 2 > self.idle_timeout {
            "keep_alive must be above zero and at most half of idle_timeout"
        } else if self.client_idle_timeout < self.idle_timeout {
            "client_idle_timeout must be at least idle_timeout"
        } else if self.client_idle_timeout > Duration::from_secs(3600) {
            "client_idle_timeout must be at most an hour"
        } else if self.dial_timeout.is_zero()
            || self.initial_rtt.is_zero()
            || self.redial_first > self.redial_cap
        {
            "dial_timeout and initial_rtt must be above zero, and redial_first at most redial_cap"
        } else if !(1200..=65_527).contains(&self.mtu_upper_bound) {
            "mtu_upper_bound must be between 1200 and 65527"
        } else {
            return Ok(());
        };
        Err(NetError::config(timeout_remedy.into()))
    }
}
