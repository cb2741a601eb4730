//! What replicas say to each other.

use bft_core::block::Block;
use bft_core::codec;
use bft_core::committee::StatementDomain;
use bft_core::edge::checkpoint_obligation;
use bft_core::engine::{CheckContext, Class};
use bft_core::envelope::{Obligations, Rejection, Seal, SealWith};
use bft_core::evidence::differ_in_digest_only;
use bft_core::genesis::VoteRouting;
use bft_core::ledger::CheckpointCertificate;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, View};
use crypto::{Certificate, Digest, Domain, ReplicaId, Share, Signature, Statement, StatementKind};
use serde::{Deserialize, Serialize};

/// A share in this: "I accepted this block in this view at this height".
pub const PREPARE: StatementKind = StatementKind(16);
/// "I hold the prepared certificate."
pub const COMMIT: StatementKind = StatementKind(17);
/// "I left the views before this one, with this prepared."
pub const VIEW_CHANGE: StatementKind = StatementKind(18);
/// "These view-changes begin the view."
pub const NEW_VIEW: StatementKind = StatementKind(19);

/// The leader's proposal; counts as its prepare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrePrepare {
    /// The leader's view.
    pub view: View,
    /// The proposal.
    pub block: Block,
}

/// A prepare or a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// In this view.
    pub view: View,
    /// At this height.
    pub height: Height,
    /// For this block.
    pub block: Digest,
}

/// A quorum accepted a block in a view at a height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What was accepted.
    pub vote: Vote,
    /// The quorum's word.
    pub certificate: Certificate,
}

/// A quorum sent commit for a block in a view at a height: it is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// What was committed.
    pub vote: Vote,
    /// The quorum's word.
    pub certificate: Certificate,
}

/// "I want to enter `view`; this is what I bring." Signed, so that it can be passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// The view wanted.
    pub view: View,
    /// The sender's highest checkpoint certificate.
    pub stable: CheckpointCertificate,
    /// For each height above it at most one: of the highest view that the sender has a certificate of. Ascending heights.
    pub prepared: Vec<Prepared>,
}

/// "The view begins with these view-changes." Signed, so that it can be passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewView {
    /// The view.
    pub view: View,
    /// Exactly a quorum, ascending; each with the digest of its view-change.
    pub sources: Vec<(ReplicaId, Digest)>,
}

/// How far a replica is, so that others send again what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its view.
    pub view: View,
    /// Whether it has entered it.
    pub active: bool,
    /// Committed through here.
    pub committed: Height,
    /// Above that, proposals of this view are at hand through here.
    pub proposed: Height,
}

/// Another replica's signed message, passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relay {
    /// A view-change.
    ViewChange(ReplicaId, Box<ViewChange>, Signature),
    /// A new-view, of its view's leader.
    NewView(NewView, Signature),
    /// A proposal's vote and share, of its view's leader, for a replica that prepared another block in that view: the other half of
    /// the evidence, if the leader told it so. It counts for nothing else, and its share is verified only as evidence.
    Proposed(Vote, Share),
}

/// Everything a PBFT replica says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// See [`PrePrepare`].
    PrePrepare(PrePrepare),
    /// See [`Vote`].
    Prepare(Vote),
    /// See [`Vote`].
    Commit(Vote),
    /// See [`ViewChange`].
    ViewChange(ViewChange),
    /// See [`NewView`].
    NewView(NewView),
    /// See [`Status`].
    Status(Status),
    /// Wanted: these view-changes, named by the new-view of this view.
    FetchViewChanges(View, Vec<(ReplicaId, Digest)>),
    /// See [`Relay`].
    Relay(Relay),
    /// A leader that collects votes: what came of the prepares. See [`Prepared`].
    Prepared(Prepared),
    /// A leader that collects votes: what came of the commits. See [`Committed`].
    Committed(Committed),
}

impl Vote {
    /// What the voter signs.
    pub fn statement(&self, kind: StatementKind, domain: &StatementDomain) -> Statement {
        domain.statement(kind, self.view, self.height, self.block)
    }
}

impl ViewChange {
    /// What a new-view names it by.
    pub fn digest(&self) -> Digest {
        Digest::of(Domain::Message, &codec::encode(self))
    }

    /// What the sender signs.
    pub fn statement(&self, domain: &StatementDomain) -> Statement {
        domain.statement(VIEW_CHANGE, self.view, 0, self.digest())
    }
}

impl NewView {
    /// What the leader signs.
    pub fn statement(&self, domain: &StatementDomain) -> Statement {
        domain.statement(NEW_VIEW, self.view, 0, Digest::of(Domain::Message, &codec::encode(self)))
    }
}

fn invalid<T>(why: &'static str) -> Result<T, Rejection> {
    Err(Rejection::Invalid(why))
}

fn signature_of(seal: &Seal) -> Result<Signature, Rejection> {
    match seal {
        Seal::Signature(signature) => Ok(*signature),
        Seal::None | Seal::Share(_) => invalid("the message is not signed"),
    }
}

/// Bounds of a view-change and what it has to prove (the paper's 4.4; threat 4: one bad certificate discards the message of
/// the liar who sent it, and nobody else's).
fn check_view_change(
    author: ReplicaId,
    change: &ViewChange,
    signature: Signature,
    context: &CheckContext,
) -> Result<Obligations, Rejection> {
    let low = change.stable.height();
    let high = low.saturating_add(context.limits.stable_window());
    if change.prepared.windows(2).any(|pair| pair[0].vote.height >= pair[1].vote.height) {
        return invalid("prepared certificates of a view-change are not in ascending order of height");
    }
    for Prepared { vote, .. } in &change.prepared {
        if vote.height <= low || vote.height > high {
            return invalid(
                "a prepared certificate of a view-change is outside the window above its checkpoint",
            );
        }
        if vote.view >= change.view {
            return invalid("a prepared certificate of a view-change is not of an earlier view");
        }
    }
    let mut certificates: Vec<(Statement, Certificate)> = Vec::with_capacity(change.prepared.len() + 1);
    certificates.extend(checkpoint_obligation(context, &change.stable)?);
    certificates.extend(
        change.prepared.iter().map(|p| (p.vote.statement(PREPARE, &context.domain), p.certificate.clone())),
    );
    let signatures = vec![(author, change.statement(&context.domain), signature)];
    Ok(Obligations { certificates, signatures, ..Obligations::default() })
}

fn check_new_view(
    new_view: &NewView,
    signature: Signature,
    context: &CheckContext,
) -> Result<Obligations, Rejection> {
    if new_view.view == 0 {
        return invalid("view 0 needs no new-view");
    }
    let ascending = new_view.sources.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let members = new_view.sources.iter().all(|(replica, _)| context.committee.contains(*replica));
    let quorum = Mutant::ViewChangeQuorum.lowers(context.committee.quorum());
    if new_view.sources.len() != quorum || !ascending || !members {
        return invalid("a new-view does not name exactly a quorum of distinct members");
    }
    let leader = context.committee.in_turn(new_view.view);
    let signatures = vec![(leader, new_view.statement(&context.domain), signature)];
    Ok(Obligations { signatures, ..Obligations::default() })
}

/// What a leader that collects votes says came of them.
fn check_collected(
    from: ReplicaId,
    (kind, vote, certificate): (StatementKind, &Vote, &Certificate),
    context: &CheckContext,
) -> Result<Obligations, Rejection> {
    if context.limits.vote_routing != VoteRouting::Collector {
        return invalid("a collected certificate where everybody sends votes to everybody");
    }
    // Who was told what is decided may tell others; what is prepared matters in its view only.
    if kind == PREPARE && context.committee.in_turn(vote.view) != from {
        return invalid("a collected certificate not from its view's leader");
    }
    let certificates = vec![(vote.statement(kind, &context.domain), certificate.clone())];
    Ok(Obligations { certificates, ..Obligations::default() })
}

impl bft_core::engine::Message for Message {
    fn kind(&self) -> &'static str {
        match self {
            Message::PrePrepare(_) => "pre-prepare",
            Message::Prepare(_) => "prepare",
            Message::Commit(_) => "commit",
            Message::ViewChange(_) => "view-change",
            Message::NewView(_) => "new-view",
            Message::Status(_) => "status",
            Message::FetchViewChanges(..) => "fetch-view-changes",
            Message::Relay(_) => "relay",
            Message::Prepared(_) => "prepared",
            Message::Committed(_) => "committed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Message::PrePrepare(_) => Class::Proposal,
            Message::Prepare(_)
            | Message::Commit(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::FetchViewChanges(..)
            | Message::Relay(_)
            | Message::Prepared(_)
            | Message::Committed(_) => Class::Vote,
        }
    }

    fn is_promise(&self) -> bool {
        match self {
            Message::PrePrepare(_)
            | Message::Prepare(_)
            | Message::Commit(_)
            | Message::ViewChange(_)
            | Message::NewView(_) => true,
            Message::Status(_)
            | Message::FetchViewChanges(..)
            | Message::Relay(_)
            | Message::Prepared(_)
            | Message::Committed(_) => false,
        }
    }

    fn seal(&self, domain: &StatementDomain) -> SealWith {
        match self {
            Message::PrePrepare(PrePrepare { view, block }) => {
                let vote = Vote { view: *view, height: block.header.height, block: block.digest() };
                SealWith::Share(vote.statement(PREPARE, domain))
            }
            Message::Prepare(vote) => SealWith::Share(vote.statement(PREPARE, domain)),
            Message::Commit(vote) => SealWith::Share(vote.statement(COMMIT, domain)),
            Message::ViewChange(change) => SealWith::Signature(change.statement(domain)),
            Message::NewView(new_view) => SealWith::Signature(new_view.statement(domain)),
            Message::Status(_)
            | Message::FetchViewChanges(..)
            | Message::Relay(_)
            | Message::Prepared(_)
            | Message::Committed(_) => SealWith::Nothing,
        }
    }

    fn height(&self) -> Option<Height> {
        match self {
            Message::PrePrepare(proposal) => Some(proposal.block.header.height),
            Message::Prepare(vote) | Message::Commit(vote) | Message::Relay(Relay::Proposed(vote, _)) => {
                Some(vote.height)
            }
            Message::Prepared(Prepared { vote, .. }) | Message::Committed(Committed { vote, .. }) => {
                Some(vote.height)
            }
            Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::FetchViewChanges(..)
            | Message::Relay(Relay::ViewChange(..) | Relay::NewView(..)) => None,
        }
    }

    fn fresh_block(&self) -> Option<&Block> {
        match self {
            Message::PrePrepare(proposal) => Some(&proposal.block),
            Message::Prepare(_)
            | Message::Commit(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::Status(_)
            | Message::FetchViewChanges(..)
            | Message::Relay(_)
            | Message::Prepared(_)
            | Message::Committed(_) => None,
        }
    }

    fn check(&self, from: ReplicaId, seal: &Seal, context: &CheckContext) -> Result<Obligations, Rejection> {
        let leads = |view: View| context.committee.in_turn(view) == from;
        let has_share = matches!(seal, Seal::Share(_));
        match self {
            Message::PrePrepare(proposal) if !leads(proposal.view) => {
                invalid("a pre-prepare not from its view's leader")
            }
            Message::PrePrepare(_) | Message::Prepare(_) | Message::Commit(_) if !has_share => {
                invalid("a vote without a share")
            }
            Message::PrePrepare(proposal) => {
                Ok(Obligations { blocks: vec![proposal.block.clone()], ..Obligations::default() })
            }
            Message::Prepare(_) | Message::Commit(_) => Ok(Obligations::default()),
            Message::ViewChange(change) => check_view_change(from, change, signature_of(seal)?, context),
            Message::NewView(new_view) if !leads(new_view.view) => {
                invalid("a new-view not from its view's leader")
            }
            Message::NewView(new_view) => check_new_view(new_view, signature_of(seal)?, context),
            Message::Relay(Relay::ViewChange(author, change, signature)) => {
                check_view_change(*author, change, *signature, context)
            }
            Message::Relay(Relay::NewView(new_view, signature)) => {
                check_new_view(new_view, *signature, context)
            }
            Message::Prepared(Prepared { vote, certificate }) => {
                check_collected(from, (PREPARE, vote, certificate), context)
            }
            Message::Committed(Committed { vote, certificate }) => {
                check_collected(from, (COMMIT, vote, certificate), context)
            }
            Message::FetchViewChanges(_, wanted) if wanted.len() > context.committee.replicas => {
                invalid("more view-changes wanted than there are members")
            }
            Message::Status(_) | Message::FetchViewChanges(..) | Message::Relay(Relay::Proposed(..)) => {
                Ok(Obligations::default())
            }
        }
    }

    fn authenticators(&self) -> usize {
        let change = |change: &ViewChange| {
            let certificates = change.prepared.iter().map(|prepared| &prepared.certificate);
            certificates.chain(&change.stable.proof).map(Certificate::authenticators).sum::<usize>()
        };
        match self {
            Message::PrePrepare(_) | Message::Prepare(_) | Message::Commit(_) | Message::NewView(_) => 1,
            Message::ViewChange(body) => 1 + change(body),
            Message::Relay(Relay::ViewChange(_, body, _)) => 1 + change(body),
            Message::Relay(Relay::NewView(..) | Relay::Proposed(..)) => 1,
            Message::Prepared(Prepared { certificate, .. })
            | Message::Committed(Committed { certificate, .. }) => certificate.authenticators(),
            Message::Status(_) | Message::FetchViewChanges(..) => 0,
        }
    }

    /// Of each kind an honest replica signs one statement per view and height, however many others lie. It stops rather than
    /// sign a second one; what it has signed is in a record that is on disk before the statement leaves; and every record in force
    /// is repeated when a log segment begins. Below its stable height and in views that it has left it signs nothing any more,
    /// and neither goes back over a restart or a state transfer.
    ///
    /// - *Prepares and pre-prepares*: `Record::Prepare` ([`crate::rules::may_prepare`]). The leader's pre-prepare is its prepare.
    /// - *Commits*: `Record::Prepared`; a certificate gives way only to one of a later view ([`crate::rules::supersedes`]).
    /// - *View-changes*: `Record::ViewChange`, said again as it was first said, whatever has been prepared since.
    /// - *New-views*: `Record::NewView`, written before the leader signs; it begins a view once.
    fn contradiction(first: &Statement, second: &Statement) -> Option<&'static str> {
        let name = match first.kind {
            PREPARE => "prepare",
            COMMIT => "commit",
            VIEW_CHANGE => "view-change",
            NEW_VIEW => "new-view",
            _ => return None,
        };
        differ_in_digest_only(first, second).then_some(name)
    }
}
