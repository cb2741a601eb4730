//! The lies that can be told in HotStuff's messages.

use super::memory::{Memory, keep};
use super::mutate::{digest, number, replica, seen};
use super::{Behaviour, LiarConfig, Lie, Lies};
use crate::random::Random;
use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::transaction::Payload;
use bft_core::types::{ReplicaId, Timestamp, View};
use crypto::{Aggregate, Certificate, Digest, Share, StatementKind};
use engines::AnyMessage;
use hotstuff::{Message, Node, Proposal, Qc, Status, TIMEOUT, Tc, Timeout, VOTE};
use std::collections::{BTreeMap, VecDeque};

/// What one idea of a liar needs for them.
#[derive(Debug)]
pub(super) struct HotStuffLies {
    behaviour: Behaviour,
    replicas: usize,
    tenure_views: u64,
    domain: StatementDomain,
    /// The second face of an equivocator, by view.
    other_face: BTreeMap<View, Proposal>,
    /// Whether one that withholds keeps every proposal and certificate to itself, and only collects (threat 32).
    hoards: bool,
    seen: Seen,
}

/// What a liar has seen. Bounded.
#[derive(Debug, Default)]
struct Seen {
    messages: VecDeque<Message>,
    certificates: VecDeque<Qc>,
    timeouts: VecDeque<Tc>,
}

impl HotStuffLies {
    /// Those of one idea.
    pub fn new(config: &LiarConfig, behaviour: Behaviour, random: &mut Random) -> HotStuffLies {
        let hoards = behaviour == Behaviour::Withhold && random.per_mille(500);
        HotStuffLies {
            behaviour,
            replicas: config.replicas,
            tenure_views: config.tenure_views,
            domain: config.domain,
            other_face: BTreeMap::new(),
            hoards,
            seen: Seen::default(),
        }
    }

    /// The proposal that the second half gets to see.
    fn other_proposal(&mut self, proposal: &Proposal) -> Proposal {
        let other = self.other_face.entry(proposal.view).or_insert_with(|| {
            let header = proposal.block.header;
            let time = Timestamp(header.time.0.saturating_sub(1));
            let block =
                Block::new(&self.domain.chain, header.epoch, header.height, Payload::empty(), time, true)
                    .expect("an empty payload parses");
            Proposal { block, ..proposal.clone() }
        });
        other.clone()
    }

    fn other_node(&self, node: &Node) -> Node {
        let mut flipped = *node;
        flipped.block.0[0] ^= 1;
        self.other_face.get(&node.view).map_or(flipped, Proposal::node)
    }

    /// Hangs a proposal on an older certificate than the leader knows: a fork.
    fn fork(&self, proposal: &mut Proposal, random: &mut Random) -> bool {
        let older: Vec<&Qc> =
            (self.seen.certificates.iter()).filter(|qc| qc.node.view < proposal.justify.node.view).collect();
        let Some(qc) = older.get(random.index(older.len().max(1))) else { return false };
        proposal.justify = Qc::clone(qc);
        proposal.block.header.height = qc.node.height + 1;
        if proposal.tc.is_none() {
            proposal.tc = self.seen.timeouts.iter().find(|tc| tc.view + 1 == proposal.view).cloned();
        }
        true
    }

    /// The last view of the tenure that `view` is in, or of the last one that ends.
    fn end_of_tenure(&self, view: View) -> View {
        let last = u64::MAX - u64::MAX % self.tenure_views - 1;
        (view - view % self.tenure_views).saturating_add(self.tenure_views - 1).min(last)
    }

    fn see_tc(&mut self, tc: &Tc) {
        keep(&mut self.seen.certificates, tc.high.clone());
        keep(&mut self.seen.timeouts, tc.clone());
    }
}

impl Lies for HotStuffLies {
    fn see(&mut self, message: AnyMessage, memory: &mut Memory) {
        let AnyMessage::HotStuff(message) = message else { return };
        match &message {
            Message::Proposal(proposal) => {
                memory.at(proposal.view, proposal.block.header.height);
                keep(&mut memory.blocks, proposal.block.clone());
                keep(&mut self.seen.certificates, proposal.justify.clone());
                memory.certificates.extend(proposal.justify.proof.clone());
                memory.certificates.truncate(32);
                proposal.tc.iter().for_each(|tc| self.see_tc(tc));
            }
            Message::Vote(node) => memory.at(node.view, node.height),
            Message::Timeout(Timeout { high, .. }) | Message::Certificate(high) => {
                memory.at(high.node.view, high.node.height);
                keep(&mut self.seen.certificates, high.clone());
            }
            Message::TimeoutCertificate(tc) => self.see_tc(tc),
            Message::Status(_) | Message::FetchNodes(..) | Message::Nodes(_) | Message::Proposed(..) => {}
        }
        keep(&mut self.seen.messages, message);
    }

    fn rewrite(&mut self, to: ReplicaId, message: &mut AnyMessage, random: &mut Random) -> Lie {
        let AnyMessage::HotStuff(message) = message else { return Lie::None };
        let half = to.0.is_multiple_of(2);
        match (self.behaviour, &mut *message) {
            (Behaviour::Equivocate, Message::Proposal(proposal)) if half => {
                **proposal = self.other_proposal(proposal);
            }
            (Behaviour::Equivocate, Message::Vote(node)) if half => *node = self.other_node(node),
            (Behaviour::BadShares, Message::Proposal(_) | Message::Vote(_) | Message::Timeout(_)) => {
                return Lie::BadShare;
            }
            (Behaviour::Withhold, Message::Proposal(_) | Message::Certificate(_)) if self.hoards => {
                return Lie::Unsaid;
            }
            (Behaviour::Withhold, Message::Proposal(_)) if usize::from(to.0) >= self.replicas * 2 / 3 => {
                return Lie::Unsaid;
            }
            (Behaviour::Slow, Message::Proposal(_)) => return Lie::Late,
            // It forks where it may, and hides what it knows.
            (Behaviour::Forget, Message::Proposal(proposal)) if random.per_mille(700) => {
                if !self.fork(proposal, random) {
                    return Lie::None;
                }
            }
            (Behaviour::Forget, Message::Timeout(timeout)) => {
                let older = self.seen.certificates.iter().filter(|qc| qc.node.view < timeout.high.node.view);
                match older.min_by_key(|qc| qc.node.view) {
                    Some(oldest) => timeout.high = oldest.clone(),
                    None => return Lie::None,
                }
            }
            _ => return Lie::None,
        }
        Lie::Changed
    }

    fn mutate(&self, message: &mut AnyMessage, memory: &Memory, random: &mut Random) {
        if let AnyMessage::HotStuff(message) = message {
            change(message, &self.seen, memory, random);
            // Only the ends of tenures pass the edge.
            if let Message::Timeout(Timeout { view, .. }) = message {
                *view = self.end_of_tenure(*view);
            }
        }
    }

    fn flood(&self, memory: &Memory, random: &mut Random) -> AnyMessage {
        let n = self.replicas as u64;
        let view = memory.view + random.below(20 * n);
        let height = match random.index(3) {
            0 => memory.height + random.below(4),
            1 => memory.height + random.below(200),
            _ => number(random, memory.height),
        };
        let orphan = Digest::of(crypto::Domain::Block, &random.bits().to_be_bytes());
        let node = Node { view, height, parent: orphan, parent_view: view.saturating_sub(1), block: orphan };
        let known = seen(random, &self.seen.certificates).cloned();
        let message = match (random.index(6), known) {
            (0, Some(justify)) => {
                let time = Timestamp(random.bits() >> 14);
                let height = justify.node.height + 1;
                let block =
                    Block::new(&self.domain.chain, self.domain.epoch, height, Payload::empty(), time, true)
                        .expect("an empty payload parses");
                // In the view that its certificate begins, whoever leads it; or in any.
                let (view, tc) = match random.index(2) {
                    0 => (justify.node.view.saturating_add(1), None),
                    _ => (view, seen(random, &self.seen.timeouts).cloned()),
                };
                Message::Proposal(Box::new(Proposal { view, block, justify, tc }))
            }
            (1, Some(high)) => Message::Timeout(Timeout { view: self.end_of_tenure(view), high }),
            (2, _) => Message::FetchNodes(orphan, random.below(memory.height + 1)),
            (3, Some(high)) => Message::FetchNodes(high.node.digest(), number(random, high.node.height)),
            (4, _) => Message::Status(Status { view, high: random.below(view + 1), committed: height }),
            _ => Message::Vote(node),
        };
        AnyMessage::HotStuff(message)
    }

    fn forged_view(&self, memory: &Memory, random: &mut Random) -> Vec<AnyMessage> {
        let Some(high) = seen(random, &self.seen.certificates).cloned() else { return Vec::new() };
        let quorum = (self.replicas + (self.replicas - 1) / 3) / 2 + 1;
        let reports = (0..quorum as u16).map(|author| (ReplicaId(author), high.node.view)).collect();
        // The end of a tenure, if it is lucky.
        let view = memory.view + random.below(12);
        let proof = Aggregate::Threshold([8; 48]);
        let tc = Tc { view, reports, high, proof };
        vec![AnyMessage::HotStuff(Message::TimeoutCertificate(Box::new(tc)))]
    }

    fn kinds_to_sign(&self) -> &'static [StatementKind] {
        &[VOTE, TIMEOUT]
    }

    fn kinds_to_accuse_of(&self) -> &'static [StatementKind] {
        &[StatementKind::CHECKPOINT, VOTE, TIMEOUT]
    }
}

/// Changes one field of an engine's message, or says an old one again in another view.
fn change(message: &mut Message, known: &Seen, memory: &Memory, random: &mut Random) {
    if random.per_mille(150)
        && let Some(old) = seen(random, &known.messages)
    {
        *message = old.clone();
        match message {
            Message::Proposal(proposal) => proposal.view = memory.view + random.below(2),
            Message::Vote(node) => node.view = memory.view + random.below(2),
            Message::Timeout(timeout) => timeout.view += random.below(12),
            Message::TimeoutCertificate(tc) => tc.view += random.below(12),
            Message::Certificate(_)
            | Message::Status(_)
            | Message::FetchNodes(..)
            | Message::Nodes(_)
            | Message::Proposed(..) => {}
        }
        return;
    }
    match message {
        Message::Proposal(old) => proposal(old, known, memory, random),
        Message::Vote(old) => node(old, memory, random),
        Message::Timeout(Timeout { view, high }) => match random.index(3) {
            0 => *view = number(random, *view),
            _ => certificate(high, known, memory, random),
        },
        Message::Certificate(qc) => certificate(qc, known, memory, random),
        Message::TimeoutCertificate(tc) => timeouts(tc, known, memory, random),
        Message::Status(Status { view, high, committed }) => match random.index(3) {
            0 => *view = number(random, *view),
            1 => *high = number(random, *high),
            _ => *committed = number(random, *committed),
        },
        Message::FetchNodes(tip, above) => match random.index(2) {
            0 => *tip = digest(random, *tip, memory),
            _ => *above = number(random, *above),
        },
        Message::Nodes(nodes) => match random.index(3) {
            0 => nodes.reverse(),
            1 => nodes.iter_mut().for_each(|old| node(old, memory, random)),
            _ => nodes.truncate(1),
        },
        Message::Proposed(old, share) => match random.index(2) {
            0 => node(old, memory, random),
            _ => *share = Share::unsigned([9; 48]),
        },
    }
}

fn node(node: &mut Node, memory: &Memory, random: &mut Random) {
    match random.index(5) {
        0 => node.view = number(random, node.view),
        1 => node.height = number(random, node.height),
        2 => node.parent = digest(random, node.parent, memory),
        3 => node.parent_view = number(random, node.parent_view),
        _ => node.block = digest(random, node.block, memory),
    }
}

fn certificate(qc: &mut Qc, known: &Seen, memory: &Memory, random: &mut Random) {
    match random.index(5) {
        0 => node(&mut qc.node, memory, random),
        1 => qc.proof = None,
        2 => qc.proof = Some(Certificate::Threshold([7; 48])),
        // A certificate that holds, of another node; or its signature under this one.
        other => {
            if let Some(old) = seen(random, &known.certificates) {
                match other {
                    3 => qc.proof = old.proof.clone(),
                    _ => *qc = old.clone(),
                }
            }
        }
    }
}

fn timeouts(tc: &mut Tc, known: &Seen, memory: &Memory, random: &mut Random) {
    let at = random.index(tc.reports.len().max(1));
    match random.index(8) {
        0 => tc.view = number(random, tc.view),
        1 => certificate(&mut tc.high, known, memory, random),
        2 => tc.reports.truncate(at),
        3 if at > 0 => tc.reports.swap(0, at),
        4 => tc.reports.iter_mut().skip(at).for_each(|(_, high)| *high = number(random, *high)),
        5 => tc.reports.iter_mut().skip(at).take(1).for_each(|(from, _)| *from = replica(random)),
        // Everybody is said to have known nothing.
        6 => {
            if let Some(low) = known.certificates.iter().min_by_key(|qc| qc.node.view) {
                tc.reports.iter_mut().for_each(|(_, high)| *high = low.node.view);
                tc.high = low.clone();
            }
        }
        _ => tc.proof = Aggregate::Threshold([9; 48]),
    }
}

fn proposal(proposal: &mut Proposal, known: &Seen, memory: &Memory, random: &mut Random) {
    let header = &mut proposal.block.header;
    match random.index(12) {
        0 => proposal.view = number(random, proposal.view),
        1 => header.epoch = number(random, header.epoch),
        2 => header.height = number(random, header.height),
        3 => header.payload_root = digest(random, header.payload_root, memory),
        4 => header.time = Timestamp(number(random, header.time.0)),
        5 => header.time = Timestamp(header.time.0.saturating_add(random.below(20_000_000))),
        6 => header.checkpoint = !header.checkpoint,
        7 => proposal.block.payload = Payload::empty(),
        8 => certificate(&mut proposal.justify, known, memory, random),
        9 => proposal.tc = seen(random, &known.timeouts).cloned(),
        10 => match &mut proposal.tc {
            Some(tc) => timeouts(tc, known, memory, random),
            None => proposal.view += 1,
        },
        _ => {
            if let Some(other) = seen(random, &memory.blocks) {
                proposal.block = other.clone();
            }
        }
    }
}
