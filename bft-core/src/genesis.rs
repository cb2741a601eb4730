//! What the members of a consortium agree on before the first block.

use crate::codec;
use crate::committee::{Committee, StatementDomain, Trust};
use crate::ledger::LedgerEntry;
use crate::types::Epoch;
use crypto::{
    ClientKey, Digest, Domain, FaultModel, Identity, ProtocolTag, QuorumVerifier, Scheme, ThresholdPublic,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The first epoch.
pub const FIRST_EPOCH: Epoch = 1;

/// The largest committee supported.
pub const MAX_REPLICAS: usize = 128;

/// The end of the year 9999, in microseconds since the Unix epoch: no network starts later, so that the ledger's time, which
/// grows with every block, never runs out of numbers.
const LATEST_TIME: u64 = 253_402_300_799_999_999;

/// Everything the members agree on. Its digest is the chain id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Format version, [`codec::VERSION`].
    pub version: u8,
    /// A name for people.
    pub network: String,
    /// Microseconds since the Unix epoch: keeps two networks of the same members apart.
    pub time: u64,
    /// The engine.
    pub protocol: ProtocolTag,
    /// What may go wrong.
    pub fault_model: FaultModel,
    /// How quorum certificates are made.
    pub scheme: Scheme,
    /// Consensus limits.
    pub limits: Limits,
    /// The state machine.
    pub application: Application,
    /// Root of the state the application's `genesis` makes.
    pub state_root: Digest,
    /// The replicas; a replica's id is its place.
    pub replicas: Vec<ReplicaInfo>,
    /// The organisations and who transacts for them.
    pub organisations: Vec<Organisation>,
    /// Group key and share keys, for the threshold scheme.
    pub threshold: Option<ThresholdPublic>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaInfo {
    /// The organisation that runs it.
    pub organisation: String,
    /// Its Ed25519 key.
    pub identity: Identity,
    /// `host:port` of its QUIC endpoint.
    pub address: String,
}

/// One member of the consortium.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// Unique name.
    pub name: String,
    /// May enrol clients.
    pub operator: ClientKey,
    /// Enrolled from the start.
    pub clients: Vec<ClientKey>,
}

/// The state machine and what it starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// What its `genesis` reads.
    pub config: String,
}

/// Consensus values: the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a transaction's body.
    pub transaction_bytes: u32,
    /// Bytes of a block's payload.
    pub block_bytes: u32,
    /// Heights that may be in agreement at once.
    pub window: u64,
    /// Multiples of this height are certified.
    pub checkpoint_interval: u64,
    /// A block proposed this long after the last certified one asks for a certificate.
    pub checkpoint_ms: u64,
    /// A transaction not executed after this long makes replicas suspect the leader; doubles while views fail.
    pub view_timeout_ms: u64,
    /// With blocks in agreement, a leader waits this long for a block to fill.
    pub batch_ms: u64,
    /// How far a client's sequences may run out of order.
    pub session_window: u32,
    /// Receipts are found by (client, sequence) for this many heights at least.
    pub receipt_heights: u64,
    /// How far a proposer's clock may be ahead of a voter's.
    pub clock_skew_ms: u64,
    /// HotStuff: how many views in a row a leader leads.
    pub tenure_views: u64,
    /// HotStuff: how many certified nodes of consecutive views commit the first of them.
    pub chain: Chain,
    /// PBFT: whom replicas send their votes to.
    pub vote_routing: VoteRouting,
    /// Raft: by how many parts per million one replica's clock may run faster than another's. With a value the leader answers reads
    /// under a lease that relies on it; without one it asks a majority.
    pub lease_drift_ppm: Option<u32>,
    /// Clients do not sign: replicas believe of whoever reaches them that it has the key it names. For networks that only
    /// trusted programs can reach, and for measurements.
    pub unsigned: bool,
}

/// The commit rule of chained HotStuff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chain {
    /// Two: Jolteon, HotStuff-2. One message delay less each way to commit.
    Two,
    /// Three: chained HotStuff as published. A new leader needs no proof that its certificate is the highest.
    Three,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Chain::Two => "two",
            Chain::Three => "three",
        })
    }
}

/// A word that is no commit rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no chain rule {0:?}; use two or three")]
pub struct ChainError(pub String);

impl FromStr for Chain {
    type Err = ChainError;

    fn from_str(word: &str) -> Result<Chain, ChainError> {
        match word {
            "two" => Ok(Chain::Two),
            "three" => Ok(Chain::Three),
            _ => Err(ChainError(word.to_owned())),
        }
    }
}

/// Whom PBFT's replicas send their votes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteRouting {
    /// Everybody, as published: a number of messages that grows as the square of the committee, and the fewest delays.
    AllToAll,
    /// The leader, which combines a quorum of them and tells everybody: a number that grows as the committee, two delays more.
    Collector,
}

impl fmt::Display for VoteRouting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoteRouting::AllToAll => "all-to-all",
            VoteRouting::Collector => "collector",
        })
    }
}

/// A word that is no routing of votes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no vote routing {0:?}; use all-to-all or collector")]
pub struct VoteRoutingError(pub String);

impl FromStr for VoteRouting {
    type Err = VoteRoutingError;

    fn from_str(word: &str) -> Result<VoteRouting, VoteRoutingError> {
        match word {
            "all-to-all" => Ok(VoteRouting::AllToAll),
            "collector" => Ok(VoteRouting::Collector),
            _ => Err(VoteRoutingError(word.to_owned())),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            transaction_bytes: 64 << 10,
            block_bytes: 1 << 20,
            window: 32,
            checkpoint_interval: 16,
            checkpoint_ms: 50,
            view_timeout_ms: 2000,
            batch_ms: 10,
            session_window: 1024,
            receipt_heights: 256,
            clock_skew_ms: 5000,
            tenure_views: 8,
            chain: Chain::Three,
            vote_routing: VoteRouting::AllToAll,
            lease_drift_ppm: None,
            unsigned: false,
        }
    }
}

impl Limits {
    /// The base timeout of a view.
    pub fn view_timeout(&self) -> Duration {
        Duration::from_millis(self.view_timeout_ms)
    }

    /// Bytes of the largest frame between replicas.
    pub fn frame_bytes(&self) -> usize {
        // A block, and beside it whatever a view change carries: at most two windows of prepared certificates.
        2 * self.block_bytes as usize + (1 << 20)
    }

    /// Heights from the stable checkpoint that may be voted on.
    pub fn stable_window(&self) -> u64 {
        2 * self.window
    }

    /// Heights from the stable checkpoint about which messages are of use: others may be one window ahead of what this replica
    /// may vote on.
    pub fn reach(&self) -> u64 {
        self.stable_window() + self.window
    }

    /// Entries between two certificates, at most: no more heights than that are in agreement or executed without one,
    /// even by a replica that missed a certificate.
    pub fn chain_entries(&self) -> usize {
        usize::try_from(4 * self.window).unwrap_or(usize::MAX)
    }
}

/// Why a genesis cannot start a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("genesis refused: {0}")]
pub struct GenesisError(pub String);

impl Genesis {
    /// The chain id.
    pub fn chain(&self) -> Digest {
        Digest::of(Domain::Chain, &codec::encode(self))
    }

    /// Size and fault model.
    pub fn committee(&self) -> Committee {
        Committee { replicas: self.replicas.len(), fault_model: self.fault_model }
    }

    /// Checks everything that does not need the application.
    ///
    /// # Errors
    /// The first thing that would keep the network from starting or staying safe.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let check = |holds: bool, why: String| if holds { Ok(()) } else { Err(GenesisError(why)) };
        check(
            self.version == codec::VERSION,
            format!("format version {}, this program reads {}", self.version, codec::VERSION),
        )?;
        let n = self.replicas.len();
        check(
            (1..=MAX_REPLICAS).contains(&n),
            format!("{n} replicas; between 1 and {MAX_REPLICAS} are possible"),
        )?;
        self.validate_fault_model()?;
        self.validate_organisations()?;
        let mut identities = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (index, replica) in self.replicas.iter().enumerate() {
            // threat 95: one key on two replicas would give one organisation two votes.
            check(
                identities.insert(replica.identity),
                format!(
                    "replica {index} has the key of an earlier replica; every replica needs a key of its own"
                ),
            )?;
            check(
                addresses.insert(&replica.address),
                format!("replica {index} has the address {} of an earlier replica", replica.address),
            )?;
            check(
                self.organisations.iter().any(|o| o.name == replica.organisation),
                format!(
                    "replica {index} belongs to {:?}, which is not among the organisations",
                    replica.organisation
                ),
            )?;
        }
        check(
            self.time <= LATEST_TIME,
            format!(
                "time is {}; it counts microseconds since 1970, and lies before the year 10000",
                self.time
            ),
        )?;
        // Beyond hours the bound on a leader's clock would be none, and one block could use the ledger's time up.
        check(
            self.limits.clock_skew_ms <= 3_600_000,
            format!("clock_skew_ms is {}; at most 3600000 is possible", self.limits.clock_skew_ms),
        )?;
        let Limits { window, checkpoint_interval, block_bytes, transaction_bytes, .. } = self.limits;
        check((1..=1024).contains(&window), format!("window is {window}; between 1 and 1024 is possible"))?;
        check(
            (1..=window).contains(&checkpoint_interval),
            format!(
                "checkpoint_interval is {checkpoint_interval}; it must be between 1 and the window, {window}, or the log could not be cut before the window is full"
            ),
        )?;
        let tenure_views = self.limits.tenure_views;
        check(
            (4..=100_000).contains(&tenure_views),
            format!(
                "tenure_views is {tenure_views}; between 4, so that each honest leader commits by itself, and 100000 is possible"
            ),
        )?;
        check(
            self.protocol != ProtocolTag::HOTSTUFF || window >= 8,
            format!("window is {window}; hotstuff has several heights in agreement at once, and needs 8"),
        )?;
        check(
            self.limits.receipt_heights >= 4 * window,
            format!(
                "receipt_heights is {}; proofs need at least four windows, {}",
                self.limits.receipt_heights,
                4 * window
            ),
        )?;
        let smallest = transaction_bytes.saturating_add(256);
        check(
            (smallest..=(64 << 20)).contains(&block_bytes),
            format!(
                "block_bytes is {block_bytes}; it must hold a transaction ({smallest}) and be at most 64 MiB"
            ),
        )?;
        for (name, value) in [
            ("view_timeout_ms", self.limits.view_timeout_ms),
            ("receipt_heights", self.limits.receipt_heights),
            ("session_window", u64::from(self.limits.session_window)),
        ] {
            check(
                (1..=3_600_000).contains(&value),
                format!("{name} is {value}; between 1 and 3600000 is possible"),
            )?;
        }
        check(self.limits.session_window <= 65_536, "session_window is above 65536".into())?;
        self.verifier().map(|_| ())
    }

    /// The protocol bears the fault model, and nothing is signed where, and only where, nobody is expected to lie.
    fn validate_fault_model(&self) -> Result<(), GenesisError> {
        let crash = self.fault_model == FaultModel::Crash;
        if crash != (self.protocol == ProtocolTag::RAFT) {
            return Err(GenesisError(format!(
                "fault_model is {} and protocol is {}; raft bears crashes only, and the other protocols are for the byzantine fault model",
                self.fault_model, self.protocol
            )));
        }
        if crash != (self.scheme == Scheme::None) {
            return Err(GenesisError(format!(
                "fault_model is {} and scheme is {}; the scheme none, and no other, belongs to the crash fault model",
                self.fault_model, self.scheme
            )));
        }
        Ok(())
    }

    fn validate_organisations(&self) -> Result<(), GenesisError> {
        let check = |holds: bool, why: String| if holds { Ok(()) } else { Err(GenesisError(why)) };
        let mut names = BTreeSet::new();
        let mut clients = BTreeSet::new();
        for organisation in &self.organisations {
            let name = &organisation.name;
            check(
                (1..=64).contains(&name.len()),
                format!("the organisation name {name:?} is not 1 to 64 bytes long"),
            )?;
            check(names.insert(name), format!("the organisation {name:?} is listed twice"))?;
            for key in std::iter::once(&organisation.operator).chain(&organisation.clients) {
                check(
                    clients.insert(key),
                    format!("the client key {key} is listed twice (again under {name:?})"),
                )?;
            }
        }
        Ok(())
    }

    /// Checks quorum certificates of the first epoch.
    ///
    /// # Errors
    /// If the keys do not fit the replicas.
    pub fn verifier(&self) -> Result<QuorumVerifier, GenesisError> {
        let quorum = self.committee().quorum();
        let refuse = |why: String| Err(GenesisError(why));
        match (self.scheme, &self.threshold) {
            (Scheme::None, None) => {
                QuorumVerifier::named(self.replicas.len(), quorum).or_else(|error| refuse(error.to_string()))
            }
            (Scheme::None, Some(_)) => refuse("the scheme is none, but threshold keys are given".into()),
            (Scheme::Ed25519, None) => {
                let identities = self.replicas.iter().map(|replica| replica.identity).collect();
                QuorumVerifier::ed25519(identities, quorum).or_else(|error| refuse(error.to_string()))
            }
            (Scheme::Ed25519, Some(_)) => {
                refuse("the scheme is ed25519, but threshold keys are given".into())
            }
            (Scheme::Threshold, None) => {
                refuse("the scheme is threshold, but no threshold keys are given".into())
            }
            (Scheme::Threshold, Some(keys)) => {
                if keys.quorum() != quorum || keys.shares().len() != self.replicas.len() {
                    return refuse(format!(
                        "threshold keys are for {} of {} replicas, this committee needs {quorum} of {}",
                        keys.quorum(),
                        keys.shares().len(),
                        self.replicas.len()
                    ));
                }
                QuorumVerifier::threshold(keys.clone()).or_else(|error| refuse(error.to_string()))
            }
        }
    }

    /// The entry of height 0.
    pub fn entry(&self) -> LedgerEntry {
        LedgerEntry {
            epoch: FIRST_EPOCH,
            height: 0,
            block: Digest::ZERO,
            time: self.time,
            receipts_root: crypto::merkle::root(&[]),
            state_root: Some(self.state_root),
            next_epoch: None,
            previous: self.chain(),
        }
    }

    /// What proofs are checked with.
    ///
    /// # Errors
    /// If the genesis is not valid.
    pub fn trust(&self) -> Result<Trust, GenesisError> {
        self.validate()?;
        Ok(self.trust_with(self.verifier()?))
    }

    /// As [`Genesis::trust`], with a verifier made elsewhere: the simulator's.
    pub fn trust_with(&self, quorum: QuorumVerifier) -> Trust {
        Trust {
            domain: StatementDomain {
                chain: self.chain(),
                epoch: FIRST_EPOCH,
                protocol: self.protocol,
                fault_model: self.fault_model,
            },
            committee: self.committee(),
            identities: self.replicas.iter().map(|replica| replica.identity).collect(),
            quorum,
            genesis_entry: self.entry(),
        }
    }
}
