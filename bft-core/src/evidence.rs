//! Evidence: two statements of one replica that no honest replica signs both.
//!
//! It is self-contained. Both seals verify under keys that follow from the genesis alone, so whoever has the genesis can check
//! it, offline and years later, and nobody can make it against a replica that has kept to the protocol.
//!
//! Which pairs contradict each other is asked in one place, [`contradiction`]: the host's own kind is decided here, a protocol's
//! kinds by [`Message::contradiction`] of its crate.

use crate::codec;
use crate::committee::{StatementDomain, Trust};
use crate::engine::Message;
use crate::envelope::Seal;
use crate::mutants::Mutant;
use crypto::{Digest, Domain, ReplicaId, Statement, StatementKind};
use serde::{Deserialize, Serialize};

/// Bytes of the longest encoding: two statements, two seals and the version are less than half of it.
pub const EVIDENCE_BYTES: usize = 1024;

/// Two statements that no honest replica signs both. Its canonical form is its [`codec`] encoding, which begins with a version;
/// the lower statement comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who signed.
    pub accused: ReplicaId,
    /// One of them. Chain and epoch are part of it.
    pub first: (Statement, Seal),
    /// The other.
    pub second: (Statement, Seal),
}

/// Why something is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// There is no such replica.
    #[error("the accused {0} is not of the committee; give the genesis of the network that it is about")]
    Stranger(ReplicaId),
    /// The statements are about something else.
    #[error(
        "it is about the network {theirs}, epoch {epoch}; give the genesis of that network, this one is of {ours}"
    )]
    Foreign {
        /// Chain of a statement.
        theirs: Digest,
        /// Its epoch.
        epoch: u64,
        /// The chain it is checked for.
        ours: Digest,
    },
    /// An honest replica may sign both.
    #[error("the two statements do not contradict each other, so that they prove nothing against {0}")]
    NoContradiction(ReplicaId),
    /// Not the one form of this pair.
    #[error("the two statements are in the wrong order: the lower one comes first")]
    Order,
    /// A seal does not verify.
    #[error("the seal of the statement about {0} is not that of the accused {1}: it was changed, or made up")]
    Seal(Digest, ReplicaId),
}

impl Evidence {
    /// The canonical form of a pair.
    pub fn new(accused: ReplicaId, one: (Statement, Seal), other: (Statement, Seal)) -> Evidence {
        let (first, second) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        Evidence { accused, first, second }
    }

    /// Names it.
    pub fn digest(&self) -> Digest {
        Digest::of(Domain::Evidence, &codec::encode(self))
    }
}

/// Whether two statements say different things in one place: same network, epoch, protocol, kind, view and height, and another
/// digest. What most kinds of contradiction come down to.
pub fn differ_in_digest_only(first: &Statement, second: &Statement) -> bool {
    let view = if Mutant::EvidenceAcrossViews.is_on() { second.view } else { first.view };
    first.digest != second.digest && Statement { digest: second.digest, view, ..*first } == *second
}

/// The name of what two statements contradict each other in; none where an honest replica may sign both.
///
/// The host's own kind is the word on a checkpoint: two entries for one height. What is committed at a height is agreed on and
/// the application is deterministic, so that an honest replica has one entry there: a restart executes the same blocks again and
/// stops if the result is another, and state transfer puts certified entries in their place, above which it goes on. This one
/// kind rests on agreement: where more than f replicas lie, one that crashes before its log has the entry could commit another
/// block. The kinds of a protocol hold however many lie.
pub fn contradiction<M: Message>(first: &Statement, second: &Statement) -> Option<&'static str> {
    if first.kind == StatementKind::CHECKPOINT {
        return differ_in_digest_only(first, second).then_some("checkpoint");
    }
    M::contradiction(first, second)
}

/// Whether a seal under a statement is that of a replica.
pub(crate) fn is_sealed_by(replica: ReplicaId, statement: &Statement, seal: &Seal, trust: &Trust) -> bool {
    let Some(identity) = trust.identities.get(replica.index()) else { return false };
    match seal {
        Seal::None => false,
        Seal::Share(share) => trust.quorum.proves(replica, identity, statement, share),
        Seal::Signature(signature) => trust.quorum.verify_signature(identity, statement, signature).is_ok(),
    }
}

/// Whether the accused has signed two statements that contradict each other; gives the name of what they are.
///
/// # Errors
/// Why it proves nothing.
pub fn verify<M: Message>(evidence: &Evidence, trust: &Trust) -> Result<&'static str, EvidenceError> {
    let Evidence { accused, first, second } = evidence;
    trust.identities.get(accused.index()).ok_or(EvidenceError::Stranger(*accused))?;
    for (statement, _) in [first, second] {
        let Statement { chain, epoch, protocol, fault_model, .. } = *statement;
        if (StatementDomain { chain, epoch, protocol, fault_model }) != trust.domain {
            return Err(EvidenceError::Foreign { theirs: chain, epoch, ours: trust.domain.chain });
        }
    }
    let name = contradiction::<M>(&first.0, &second.0).ok_or(EvidenceError::NoContradiction(*accused))?;
    if first.0 > second.0 {
        return Err(EvidenceError::Order);
    }
    for (statement, seal) in [first, second] {
        if !is_sealed_by(*accused, statement, seal, trust) {
            return Err(EvidenceError::Seal(statement.digest, *accused));
        }
    }
    Ok(name)
}
