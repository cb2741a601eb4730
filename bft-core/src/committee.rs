//! Who decides: the replicas of an epoch and what their words weigh.

use crate::engine::EngineConfig;
use crate::genesis::Genesis;
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::quorum;
use crate::receipt::ProofError;
use crate::types::{Epoch, Height, View};
use crypto::{
    Digest, FaultModel, Identity, ProtocolTag, QuorumVerifier, ReplicaId, Statement, StatementKind,
};

/// The fields that every statement of an epoch shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementDomain {
    /// Digest of the genesis.
    pub chain: Digest,
    /// Period of the committee.
    pub epoch: Epoch,
    /// Engine in force.
    pub protocol: ProtocolTag,
    /// Fault model in force.
    pub fault_model: FaultModel,
}

impl StatementDomain {
    /// A statement of this epoch.
    pub fn statement(&self, kind: StatementKind, view: View, height: Height, digest: Digest) -> Statement {
        let StatementDomain { chain, epoch, protocol, fault_model } = *self;
        Statement { kind, chain, epoch, protocol, fault_model, view, height, digest }
    }

    /// What a checkpoint share signs.
    pub fn checkpoint(&self, entry: &LedgerEntry) -> Statement {
        self.statement(StatementKind::CHECKPOINT, 0, entry.height, entry.digest())
    }
}

/// Size and fault model of a committee, with the numbers that follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committee {
    /// n.
    pub replicas: usize,
    /// What may go wrong.
    pub fault_model: FaultModel,
}

impl Committee {
    /// f: how many replicas may fail.
    pub fn faulty(&self) -> usize {
        quorum::faulty(self.replicas, self.fault_model)
    }

    /// How many replicas decide.
    pub fn quorum(&self) -> usize {
        quorum::quorum(self.replicas, self.fault_model)
    }

    /// How many replicas must say a thing for one honest one to be among them.
    pub fn believable(&self) -> usize {
        quorum::believable(self.replicas, self.fault_model)
    }

    /// Everybody, in order.
    pub fn members(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        (0..u16::try_from(self.replicas).expect("committees are bounded by the genesis")).map(ReplicaId)
    }

    /// Whether `replica` belongs to it.
    pub fn contains(&self, replica: ReplicaId) -> bool {
        usize::from(replica.0) < self.replicas
    }

    /// The member whose turn `turn` is, round robin.
    pub fn in_turn(&self, turn: u64) -> ReplicaId {
        let index = turn % self.replicas as u64;
        ReplicaId(u16::try_from(index).expect("less than the number of replicas"))
    }
}

/// Everything needed to check a proof: what follows from the genesis alone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Fields of every statement.
    pub domain: StatementDomain,
    /// The committee.
    pub committee: Committee,
    /// The replicas' keys, by replica id.
    pub identities: std::sync::Arc<[Identity]>,
    /// Checks quorum certificates.
    pub quorum: QuorumVerifier,
    /// The entry of height 0.
    pub genesis_entry: LedgerEntry,
}

impl Trust {
    /// Whether a checkpoint certificate holds.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify_checkpoint(&self, checkpoint: &CheckpointCertificate) -> Result<(), ProofError> {
        let refuse = |why: &str| Err(ProofError::Certificate(checkpoint.height(), why.to_owned()));
        match &checkpoint.proof {
            None if checkpoint.entry == self.genesis_entry => Ok(()),
            None => refuse("only the genesis entry needs no signatures, and this is another entry"),
            Some(_) if checkpoint.entry.epoch != self.domain.epoch => refuse("it is of another epoch"),
            Some(_) if checkpoint.height() == 0 => refuse("height 0 carries no signatures"),
            Some(proof) => {
                let statement = self.domain.checkpoint(&checkpoint.entry);
                self.quorum.verify(&statement, proof).or_else(|error| refuse(&error.to_string()))
            }
        }
    }

    /// What an engine of replica `me` is told.
    pub fn engine_config(&self, me: ReplicaId, genesis: &Genesis, votes: bool, seed: u64) -> EngineConfig {
        EngineConfig {
            votes,
            seed,
            me,
            committee: self.committee,
            domain: self.domain,
            limits: genesis.limits,
            genesis_entry: self.genesis_entry,
        }
    }
}
