//! What replicas say to each other.

use crate::rules::{self, Leave};
use crate::tree::is_idle;
use bft_core::block::Block;
use bft_core::codec;
use bft_core::committee::StatementDomain;
use bft_core::engine::{CheckContext, Class};
use bft_core::envelope::{Obligations, Rejection, Seal, SealWith};
use bft_core::evidence::differ_in_digest_only;
use bft_core::ledger::LedgerEntry;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, View};
use crypto::{Aggregate, Certificate, Digest, Domain, ReplicaId, Share, Statement, StatementKind};
use serde::{Deserialize, Serialize};

/// "I accepted this node."
pub const VOTE: StatementKind = StatementKind(16);
/// "I vote no more in this view or before; this is the view of my highest QC."
pub const TIMEOUT: StatementKind = StatementKind(17);

/// What is voted on: a block, where it stands, and what it extends. Its digest stands for the whole branch below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The view it was proposed in.
    pub view: View,
    /// One more than its parent's.
    pub height: Height,
    /// The node it extends.
    pub parent: Digest,
    /// That node's view.
    pub parent_view: View,
    /// Its block.
    pub block: Digest,
}

/// A quorum certificate (the paper's genericQC) with the node that it certifies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qc {
    /// What was voted for.
    pub node: Node,
    /// The quorum's word; none for the genesis.
    pub proof: Option<Certificate>,
}

/// "I vote no more in `view` or before, and this is the highest certificate I know."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// The last view of the tenure that is given up.
    pub view: View,
    /// The sender's highest certificate.
    pub high: Qc,
}

/// A timeout certificate: a quorum gave up the tenure that ends with `view`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tc {
    /// The last view of the tenure given up.
    pub view: View,
    /// Who did, in ascending order, and the view of the highest certificate that each knew.
    pub reports: Vec<(ReplicaId, View)>,
    /// The highest of these.
    pub high: Qc,
    /// One signature over all reports.
    pub proof: Aggregate,
}

/// A leader's proposal; counts as its vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The leader's view.
    pub view: View,
    /// What to order next.
    pub block: Block,
    /// The certificate of the node that this one extends.
    pub justify: Qc,
    /// Why the view began, where `justify` is not of the view before.
    pub tc: Option<Tc>,
}

/// How far a replica is, so that its leader sends it again what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its view.
    pub view: View,
    /// View of its highest certificate.
    pub high: View,
    /// Committed through here.
    pub committed: Height,
}

/// Everything a HotStuff replica says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// See [`Proposal`].
    Proposal(Box<Proposal>),
    /// A vote for this node.
    Vote(Node),
    /// See [`Timeout`].
    Timeout(Timeout),
    /// A certificate that no proposal follows yet.
    Certificate(Qc),
    /// See [`Tc`].
    TimeoutCertificate(Box<Tc>),
    /// See [`Status`].
    Status(Status),
    /// Wanted: the node of this digest and those it extends, above this height.
    FetchNodes(Digest, Height),
    /// Answers [`Message::FetchNodes`]: each is the parent of the one before it.
    Nodes(Vec<Node>),
    /// What a leader proposed, with its share, for replicas that may have been told something else in the same view: the other half of
    /// the evidence. It counts for nothing else, and its share is verified only as evidence.
    Proposed(Node, Share),
}

impl Node {
    /// What everything begins with: the ledger's entry of height 0, in view 0.
    pub fn genesis(entry: &LedgerEntry) -> Node {
        Node { view: 0, height: 0, parent: Digest::ZERO, parent_view: 0, block: entry.block }
    }

    /// What votes name it by.
    pub fn digest(&self) -> Digest {
        Digest::of(Domain::Message, &codec::encode(self))
    }

    /// What a voter signs (threat 19: everything that makes the node is in it).
    pub fn statement(&self, domain: &StatementDomain) -> Statement {
        domain.statement(VOTE, self.view, self.height, self.digest())
    }
}

impl Qc {
    /// The certificate that needs no signature.
    pub fn genesis(entry: &LedgerEntry) -> Qc {
        Qc { node: Node::genesis(entry), proof: None }
    }

    fn obligation(&self, context: &CheckContext) -> Result<Option<(Statement, Certificate)>, Rejection> {
        match &self.proof {
            None if self.node == Node::genesis(&context.genesis_entry) => Ok(None),
            None => invalid("a certificate without a signature, and not of the genesis"),
            Some(_) if self.node.view == 0 => invalid("a signed certificate of view 0"),
            Some(proof) => Ok(Some((self.node.statement(&context.domain), proof.clone()))),
        }
    }

    fn authenticators(&self) -> usize {
        self.proof.as_ref().map_or(0, Certificate::authenticators)
    }
}

/// What a replica signs that times out in `view` and knows no certificate of a later view than `high`. The digest is that number,
/// big endian, after zeros: a second word on the same view is a contradiction like any other.
pub(crate) fn timeout_statement(view: View, high: View, domain: &StatementDomain) -> Statement {
    let mut digest = [0; 32];
    digest[24..].copy_from_slice(&high.to_be_bytes());
    domain.statement(TIMEOUT, view, 0, Digest(digest))
}

impl Timeout {
    /// What the sender signs.
    pub fn statement(&self, domain: &StatementDomain) -> Statement {
        timeout_statement(self.view, self.high.node.view, domain)
    }
}

impl Tc {
    /// What it allows.
    pub fn leave(&self) -> Leave {
        Leave { view: self.view, high: self.high.node.view }
    }

    fn authenticators(&self) -> usize {
        self.proof.authenticators() + self.high.authenticators()
    }
}

impl Proposal {
    /// What it proposes.
    pub fn node(&self) -> Node {
        let parent = &self.justify.node;
        let (view, height) = (self.view, self.block.header.height);
        Node { view, height, parent: parent.digest(), parent_view: parent.view, block: self.block.digest() }
    }
}

fn invalid<T>(why: &'static str) -> Result<T, Rejection> {
    Err(Rejection::Invalid(why))
}

/// Bounds of a timeout certificate, and what it has to prove.
fn check_tc(tc: &Tc, context: &CheckContext, due: &mut Obligations) -> Result<(), Rejection> {
    let ascending = tc.reports.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let members = tc.reports.iter().all(|(replica, _)| context.committee.contains(*replica));
    let quorum = Mutant::TimeoutQuorum.lowers(context.committee.quorum());
    if tc.reports.len() != quorum || !ascending || !members {
        return invalid("a timeout certificate is not of exactly a quorum of distinct members");
    }
    let highest = tc.reports.iter().map(|(_, high)| *high).max();
    if highest != Some(tc.high.node.view) && !Mutant::ReportsIgnored.is_on() {
        return invalid("a timeout certificate does not carry the highest certificate that it reports");
    }
    check_left(tc.view, &tc.high, context)?;
    let word =
        |(signer, high): &(ReplicaId, View)| (*signer, timeout_statement(tc.view, *high, &context.domain));
    due.aggregates.push((tc.reports.iter().map(word).collect(), tc.proof.clone()));
    due.certificates.extend(tc.high.obligation(context)?);
    Ok(())
}

/// A tenure is left at its end, and with a certificate from before.
fn check_left(view: View, high: &Qc, context: &CheckContext) -> Result<(), Rejection> {
    if rules::last_of_tenure(view, context.limits.tenure_views) != view || view == u64::MAX {
        return invalid("a timeout in a view that is not the last of a tenure");
    }
    if high.node.view > view {
        return invalid("a timeout in a view before that of its highest certificate");
    }
    Ok(())
}

fn check_proposal(proposal: &Proposal, context: &CheckContext) -> Result<Obligations, Rejection> {
    let Proposal { view, block, justify, tc } = proposal;
    let follows = justify.node.view.checked_add(1) == Some(*view);
    if follows == tc.is_some() || !rules::follows(*view, justify.node.view, tc.as_ref().map(Tc::leave)) {
        return invalid("a proposal whose view begins neither by its QC nor by its timeout certificate");
    }
    // threat 19: the certificate is of the parent, and the parent is right below.
    if Some(block.header.height) != justify.node.height.checked_add(1) || justify.node.view >= *view {
        return invalid("a proposal that is not of the height and a view above the node it extends");
    }
    let mut due = Obligations { blocks: vec![block.clone()], ..Obligations::default() };
    due.certificates.extend(justify.obligation(context)?);
    if let Some(tc) = tc {
        check_tc(tc, context, &mut due)?;
    }
    Ok(due)
}

/// A branch, from its tip down: each node is the parent of the one before it.
fn check_nodes(nodes: &[Node], context: &CheckContext) -> Result<Obligations, Rejection> {
    let most = usize::try_from(context.limits.reach()).unwrap_or(usize::MAX);
    if nodes.len() > most {
        return Err(Rejection::TooMuch { what: "nodes of a branch", found: nodes.len(), limit: most });
    }
    let linked = nodes.windows(2).all(|pair| pair[0].parent == pair[1].digest());
    if linked { Ok(Obligations::default()) } else { invalid("the nodes of a branch do not link up") }
}

impl bft_core::engine::Message for Message {
    fn kind(&self) -> &'static str {
        match self {
            Message::Proposal(_) => "proposal",
            Message::Vote(_) => "vote",
            Message::Timeout(_) => "timeout",
            Message::Certificate(_) => "certificate",
            Message::TimeoutCertificate(_) => "timeout-certificate",
            Message::Status(_) => "status",
            Message::FetchNodes(..) => "fetch-nodes",
            Message::Nodes(_) => "nodes",
            Message::Proposed(..) => "proposed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Message::Proposal(_) => Class::Proposal,
            Message::Vote(_)
            | Message::Timeout(_)
            | Message::Certificate(_)
            | Message::TimeoutCertificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => Class::Vote,
        }
    }

    fn is_promise(&self) -> bool {
        match self {
            Message::Proposal(_) | Message::Vote(_) | Message::Timeout(_) => true,
            Message::Certificate(_)
            | Message::TimeoutCertificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => false,
        }
    }

    fn seal(&self, domain: &StatementDomain) -> SealWith {
        match self {
            Message::Proposal(proposal) => SealWith::Share(proposal.node().statement(domain)),
            Message::Vote(node) => SealWith::Share(node.statement(domain)),
            Message::Timeout(timeout) => SealWith::Share(timeout.statement(domain)),
            Message::Certificate(_)
            | Message::TimeoutCertificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => SealWith::Nothing,
        }
    }

    fn height(&self) -> Option<Height> {
        match self {
            // The window does not bound what only flushes: see `agreement`.
            Message::Proposal(proposal) if is_idle(&proposal.block) => None,
            Message::Proposal(proposal) => Some(proposal.block.header.height),
            // A vote for what is stable may still end its view, and a certificate names the view to go on in.
            Message::Vote(_)
            | Message::Timeout(_)
            | Message::Certificate(_)
            | Message::TimeoutCertificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => None,
        }
    }

    fn fresh_block(&self) -> Option<&Block> {
        match self {
            Message::Proposal(proposal) => Some(&proposal.block),
            Message::Vote(_)
            | Message::Timeout(_)
            | Message::Certificate(_)
            | Message::TimeoutCertificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => None,
        }
    }

    fn check(&self, from: ReplicaId, seal: &Seal, context: &CheckContext) -> Result<Obligations, Rejection> {
        let tenure_views = context.limits.tenure_views;
        let leads = |view: View| context.committee.in_turn(rules::tenure(view, tenure_views)) == from;
        match self {
            Message::Proposal(_) | Message::Vote(_) | Message::Timeout(_)
                if !matches!(seal, Seal::Share(_)) =>
            {
                invalid("a vote or timeout without a share")
            }
            Message::Proposal(proposal) if !leads(proposal.view) => {
                invalid("a proposal not from its view's leader")
            }
            Message::Proposal(proposal) => check_proposal(proposal, context),
            Message::Vote(node) if node.parent_view >= node.view || node.height == 0 => {
                invalid("a vote for a node that is no child of another")
            }
            Message::Timeout(timeout) => {
                check_left(timeout.view, &timeout.high, context)?;
                let certificates = timeout.high.obligation(context)?.into_iter().collect();
                Ok(Obligations { certificates, ..Obligations::default() })
            }
            Message::Certificate(qc) => {
                let certificates = qc.obligation(context)?.into_iter().collect();
                Ok(Obligations { certificates, ..Obligations::default() })
            }
            Message::TimeoutCertificate(tc) => {
                let mut due = Obligations::default();
                check_tc(tc, context, &mut due)?;
                Ok(due)
            }
            Message::Nodes(nodes) => check_nodes(nodes, context),
            Message::Vote(_) | Message::Status(_) | Message::FetchNodes(..) | Message::Proposed(..) => {
                Ok(Obligations::default())
            }
        }
    }

    fn authenticators(&self) -> usize {
        match self {
            Message::Proposal(proposal) => {
                1 + proposal.justify.authenticators() + proposal.tc.as_ref().map_or(0, Tc::authenticators)
            }
            Message::Vote(_) | Message::Proposed(..) => 1,
            Message::Timeout(timeout) => 1 + timeout.high.authenticators(),
            Message::Certificate(qc) => qc.authenticators(),
            Message::TimeoutCertificate(tc) => tc.authenticators(),
            Message::Status(_) | Message::FetchNodes(..) | Message::Nodes(_) => 0,
        }
    }

    /// An honest replica votes once a view, at whatever height, and reports one certificate for a view it times out in: both are
    /// in a record that is on disk before they leave, which the start of a log segment repeats while it is in force; a
    /// timeout is said again as it was first said.
    fn contradiction(first: &Statement, second: &Statement) -> Option<&'static str> {
        let (name, first) = match first.kind {
            VOTE => ("vote", Statement { height: second.height, ..*first }),
            TIMEOUT => ("timeout", *first),
            _ => return None,
        };
        differ_in_digest_only(&first, second).then_some(name)
    }
}
