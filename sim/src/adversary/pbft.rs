//! The lies that can be told in PBFT's messages.

use super::memory::{Memory, keep};
use super::mutate::{digest, number, replica, seen, stable};
use super::{Behaviour, LiarConfig, Lie, Lies};
use crate::random::Random;
use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::transaction::Payload;
use bft_core::types::{Height, ReplicaId, Timestamp, View};
use crypto::{Certificate, Digest, Signature, StatementKind};
use engines::AnyMessage;
use pbft::{
    COMMIT, Committed, Message, NEW_VIEW, NewView, PREPARE, PrePrepare, Prepared, Relay, Status, VIEW_CHANGE,
    ViewChange, Vote,
};
use std::collections::{BTreeMap, VecDeque};

/// How far ahead of its clock a second proposal may be: further than any clock.
const FAR_US: u64 = 3_600_000_000;

/// What one idea of a liar needs for them.
#[derive(Debug)]
pub(super) struct PbftLies {
    behaviour: Behaviour,
    me: ReplicaId,
    replicas: usize,
    domain: StatementDomain,
    /// The second face of an equivocator, by view and height.
    other_face: BTreeMap<(View, Height), Block>,
    /// Whom one that forgets tells what it votes for; all, or nobody else.
    favourite: Option<ReplicaId>,
    /// Whether an equivocator also claims, in a view change, that null blocks are prepared.
    claims: bool,
    /// What a new-view would name its last view-change by, and the height of the checkpoint in it.
    own_change: Option<(Digest, Height)>,
    seen: Seen,
}

/// What a mutator has seen. Bounded.
#[derive(Debug, Default)]
struct Seen {
    messages: VecDeque<Message>,
    prepared: VecDeque<Prepared>,
    sources: VecDeque<(ReplicaId, Digest)>,
}

impl PbftLies {
    /// Those of one idea.
    pub fn new(config: &LiarConfig, behaviour: Behaviour, random: &mut Random) -> PbftLies {
        let favourite = (behaviour == Behaviour::Forget && random.per_mille(500))
            .then(|| ReplicaId(random.index(config.replicas) as u16));
        let claims = behaviour == Behaviour::Equivocate && random.per_mille(300);
        PbftLies {
            behaviour,
            me: config.me,
            replicas: config.replicas,
            domain: config.domain,
            other_face: BTreeMap::new(),
            favourite,
            claims,
            own_change: None,
            seen: Seen::default(),
        }
    }

    fn see_change(&mut self, change: &ViewChange, memory: &mut Memory) {
        memory.at(change.view, 0);
        memory.see_stable(change.stable.clone());
        for prepared in &change.prepared {
            keep(&mut memory.certificates, prepared.certificate.clone());
            keep(&mut self.seen.prepared, prepared.clone());
        }
    }

    /// The proposal that the second half gets to see.
    fn other_proposal(&mut self, proposal: &PrePrepare, random: &mut Random) -> PrePrepare {
        let header = proposal.block.header;
        let far = random.per_mille(200);
        let other = self.other_face.entry((proposal.view, header.height)).or_insert_with(|| {
            let time = if far { header.time.0 + FAR_US } else { header.time.0.saturating_sub(1) };
            let time = Timestamp(time);
            Block::new(&self.domain.chain, header.epoch, header.height, Payload::empty(), time, true)
                .expect("an empty payload parses")
        });
        PrePrepare { view: proposal.view, block: other.clone() }
    }

    fn other_block(&self, vote: &Vote) -> Digest {
        let mut flipped = vote.block;
        flipped.0[0] ^= 1;
        self.other_face.get(&(vote.view, vote.height)).map_or(flipped, Block::digest)
    }
}

impl Lies for PbftLies {
    fn see(&mut self, message: AnyMessage, memory: &mut Memory) {
        let AnyMessage::Pbft(message) = message else { return };
        match &message {
            Message::PrePrepare(proposal) => {
                memory.at(proposal.view, proposal.block.header.height);
                keep(&mut memory.blocks, proposal.block.clone());
            }
            Message::Prepare(vote) | Message::Commit(vote) => memory.at(vote.view, vote.height),
            Message::ViewChange(change) => self.see_change(change, memory),
            Message::Relay(Relay::ViewChange(_, change, _)) => self.see_change(change, memory),
            Message::NewView(new_view) => {
                new_view.sources.iter().for_each(|source| keep(&mut self.seen.sources, *source));
            }
            Message::Prepared(prepared) => {
                keep(&mut memory.certificates, prepared.certificate.clone());
                keep(&mut self.seen.prepared, prepared.clone());
            }
            Message::Committed(committed) => keep(&mut memory.certificates, committed.certificate.clone()),
            Message::Status(_) | Message::FetchViewChanges(..) | Message::Relay(_) => {}
        }
        keep(&mut self.seen.messages, message);
    }

    fn rewrite(&mut self, to: ReplicaId, message: &mut AnyMessage, random: &mut Random) -> Lie {
        let AnyMessage::Pbft(message) = message else { return Lie::None };
        let half = to.0.is_multiple_of(2);
        match (self.behaviour, &mut *message) {
            (Behaviour::Equivocate, Message::PrePrepare(proposal)) if half => {
                *proposal = self.other_proposal(proposal, random);
            }
            (Behaviour::Equivocate, Message::Prepare(vote) | Message::Commit(vote)) if half => {
                vote.block = self.other_block(vote);
            }
            // As collector: what it says is certified is what it told that half.
            (
                Behaviour::Equivocate,
                Message::Prepared(Prepared { vote, certificate })
                | Message::Committed(Committed { vote, certificate }),
            ) if half => {
                vote.block = self.other_block(vote);
                *certificate = Certificate::Threshold([7; 48]);
            }
            // As collector it keeps to itself what is prepared or decided, or tells some: of each thing others.
            (Behaviour::Withhold, Message::Prepared(_) | Message::Committed(_)) if random.per_mille(600) => {
                return Lie::Unsaid;
            }
            (Behaviour::BadShares, Message::PrePrepare(_) | Message::Prepare(_) | Message::Commit(_)) => {
                return Lie::BadShare;
            }
            (Behaviour::Withhold, Message::PrePrepare(_)) if usize::from(to.0) >= self.replicas * 2 / 3 => {
                return Lie::Unsaid;
            }
            (Behaviour::Slow, Message::PrePrepare(_)) => return Lie::Late,
            (Behaviour::Equivocate, Message::ViewChange(change)) if self.claims => {
                claim_nulls(change, self.domain.epoch);
            }
            (Behaviour::Forget, Message::Prepare(_) | Message::Commit(_))
                if self.favourite.is_some_and(|favourite| favourite != to) =>
            {
                return Lie::Unsaid;
            }
            (Behaviour::Forget, Message::ViewChange(change)) => {
                change.prepared.clear();
                self.own_change = Some((change.digest(), change.stable.height()));
            }
            (Behaviour::Forget, Message::NewView(new_view)) if self.favourite.is_some() => {
                // It names its own view-change alone, which hides everything, and proposes null blocks.
                let Some((own, stable)) = self.own_change else { return Lie::None };
                new_view.sources = vec![(self.me, own)];
                let view = new_view.view;
                let null = |height| Block::null(self.domain.epoch, height);
                let proposals = (stable + 1..=stable + 4)
                    .map(|height| Message::PrePrepare(PrePrepare { view, block: null(height) }));
                let messages = [message.clone()].into_iter().chain(proposals);
                return Lie::Instead(messages.map(AnyMessage::Pbft).collect());
            }
            (Behaviour::Forget, Message::NewView(new_view)) => {
                for (_, digest) in &mut new_view.sources {
                    digest.0[0] ^= 1;
                }
            }
            _ => return Lie::None,
        }
        Lie::Changed
    }

    fn mutate(&self, message: &mut AnyMessage, memory: &Memory, random: &mut Random) {
        let AnyMessage::Pbft(message) = message else { return };
        change(message, &self.seen, memory, random);
    }

    fn flood(&self, memory: &Memory, random: &mut Random) -> AnyMessage {
        let n = self.replicas as u64;
        let me = u64::from(self.me.0);
        let view = memory.view + random.below(3 * n);
        let height = match random.index(3) {
            0 => memory.height + random.below(4),
            1 => memory.height + random.below(200),
            _ => number(random, memory.height),
        };
        let orphan = Digest::of(crypto::Domain::Block, &random.bits().to_be_bytes());
        let vote = Vote { view, height, block: orphan };
        let message = match random.index(5) {
            0 => {
                // Of a view that it will lead, or that another one does.
                let view = if random.per_mille(700) { view - view % n + me } else { view };
                let time = Timestamp(random.bits() >> 14);
                let block =
                    Block::new(&self.domain.chain, self.domain.epoch, height, Payload::empty(), time, true)
                        .expect("an empty payload parses");
                Message::PrePrepare(PrePrepare { view, block })
            }
            1 => Message::Prepare(vote),
            2 => Message::Commit(vote),
            3 => {
                let stable = seen(random, &memory.stable).cloned();
                match stable {
                    Some(stable) => Message::ViewChange(ViewChange { view, stable, prepared: Vec::new() }),
                    None => Message::Prepare(vote),
                }
            }
            _ => {
                let sources =
                    self.seen.sources.iter().map(|(from, _)| (*from, orphan)).take(self.replicas).collect();
                Message::FetchViewChanges(view, sources)
            }
        };
        AnyMessage::Pbft(message)
    }

    fn forged_view(&self, memory: &Memory, random: &mut Random) -> Vec<AnyMessage> {
        let Some(stable) = memory.stable.back() else { return Vec::new() };
        let view = memory.view + random.between(1, 2);
        let change = ViewChange { view, stable: stable.clone(), prepared: Vec::new() };
        let signature = Signature([8; 64]);
        let quorum = (self.replicas + (self.replicas - 1) / 3) / 2 + 1;
        let authors = || (0..quorum as u16).map(ReplicaId);
        let sources = authors().map(|author| (author, change.digest())).collect();
        let new_view = Relay::NewView(NewView { view, sources }, signature);
        let changes = authors().map(|author| Relay::ViewChange(author, Box::new(change.clone()), signature));
        [new_view].into_iter().chain(changes).map(Message::Relay).map(AnyMessage::Pbft).collect()
    }

    fn kinds_to_sign(&self) -> &'static [StatementKind] {
        &[PREPARE, COMMIT, VIEW_CHANGE]
    }

    fn kinds_to_accuse_of(&self) -> &'static [StatementKind] {
        &[StatementKind::CHECKPOINT, PREPARE, COMMIT, VIEW_CHANGE, NEW_VIEW]
    }
}

/// Claims that null blocks are prepared above the checkpoint, of as late a view as can be.
fn claim_nulls(change: &mut ViewChange, epoch: u64) {
    let low = change.stable.height();
    let claim = |height| {
        let vote =
            Vote { view: change.view.saturating_sub(1), height, block: Block::null(epoch, height).digest() };
        Prepared { vote, certificate: Certificate::Threshold([7; 48]) }
    };
    change.prepared = (low + 1..=low + 2).map(claim).collect();
}

/// Changes one field of an engine's message, or says an old one again in another view.
fn change(message: &mut Message, known: &Seen, memory: &Memory, random: &mut Random) {
    if random.per_mille(150)
        && let Some(old) = seen(random, &known.messages)
    {
        *message = old.clone();
        match message {
            Message::PrePrepare(proposal) => proposal.view = memory.view,
            Message::Prepare(vote) | Message::Commit(vote) => vote.view = memory.view,
            Message::ViewChange(change) => change.view = memory.view + random.below(2),
            Message::NewView(new_view) => new_view.view = memory.view + random.below(2),
            Message::Prepared(Prepared { vote, .. }) | Message::Committed(Committed { vote, .. }) => {
                vote.view = memory.view;
            }
            Message::Status(_) | Message::FetchViewChanges(..) | Message::Relay(_) => {}
        }
        return;
    }
    match message {
        Message::PrePrepare(old) => proposal(old, memory, random),
        Message::Prepare(old) if random.per_mille(200) => *message = Message::Commit(*old),
        Message::Commit(old) if random.per_mille(200) => *message = Message::Prepare(*old),
        Message::Prepare(old) | Message::Commit(old) => vote(old, memory, random),
        Message::ViewChange(old) => view_change(old, known, memory, random),
        Message::NewView(old) => new_view(old, known, memory, random),
        Message::Status(old) => status(old, random),
        Message::FetchViewChanges(view, wanted) => match random.index(3) {
            0 => *view = number(random, *view),
            1 => wanted.extend(seen(random, &known.sources).copied()),
            _ => wanted.iter_mut().for_each(|(from, _)| *from = replica(random)),
        },
        Message::Relay(Relay::ViewChange(author, change, _)) if random.per_mille(500) => {
            *author = replica(random);
            change.view = number(random, change.view);
        }
        Message::Relay(Relay::ViewChange(_, change, signature)) => match random.index(2) {
            0 => signature.0[random.index(64)] ^= 1,
            _ => view_change(change, known, memory, random),
        },
        Message::Relay(Relay::Proposed(old, _)) => vote(old, memory, random),
        // One certificate in the place of the other, or a part of one changed.
        Message::Prepared(Prepared { vote, certificate }) if random.per_mille(200) => {
            *message = Message::Committed(Committed { vote: *vote, certificate: certificate.clone() });
        }
        Message::Committed(Committed { vote, certificate }) if random.per_mille(200) => {
            *message = Message::Prepared(Prepared { vote: *vote, certificate: certificate.clone() });
        }
        Message::Prepared(old) => prepared(old, memory, random),
        Message::Committed(Committed { vote, certificate }) => {
            let mut changed = Prepared { vote: *vote, certificate: certificate.clone() };
            prepared(&mut changed, memory, random);
            (*vote, *certificate) = (changed.vote, changed.certificate);
        }
        Message::Relay(Relay::NewView(old, signature)) => match random.index(2) {
            0 => signature.0[random.index(64)] ^= 1,
            _ => new_view(old, known, memory, random),
        },
    }
}

fn vote(vote: &mut Vote, memory: &Memory, random: &mut Random) {
    match random.index(3) {
        0 => vote.view = number(random, vote.view),
        1 => vote.height = number(random, vote.height),
        _ => vote.block = digest(random, vote.block, memory),
    }
}

fn proposal(proposal: &mut PrePrepare, memory: &Memory, random: &mut Random) {
    let header = &mut proposal.block.header;
    match random.index(10) {
        0 => proposal.view = number(random, proposal.view),
        1 => header.epoch = number(random, header.epoch),
        2 => header.height = number(random, header.height),
        3 => header.payload_root = digest(random, header.payload_root, memory),
        4 => header.time = Timestamp(number(random, header.time.0)),
        5 => header.time = Timestamp(header.time.0.saturating_add(random.below(20_000_000))),
        6 => header.checkpoint = !header.checkpoint,
        7 => proposal.block.payload = Payload::empty(),
        8 => proposal.block = Block::null(header.epoch, header.height),
        _ => {
            if let Some(other) = seen(random, &memory.blocks) {
                proposal.block = other.clone();
            }
        }
    }
}

fn prepared(prepared: &mut Prepared, memory: &Memory, random: &mut Random) {
    match random.index(4) {
        0..=2 => vote(&mut prepared.vote, memory, random),
        _ => {
            if let Some(other) = seen(random, &memory.certificates) {
                prepared.certificate = other.clone();
            }
        }
    }
}

fn view_change(change: &mut ViewChange, known: &Seen, memory: &Memory, random: &mut Random) {
    let length = change.prepared.len();
    let at = random.index(length.max(1));
    match random.index(9) {
        0 => change.view = number(random, change.view),
        1 | 2 => stable(&mut change.stable, memory, random),
        3 => change.prepared.truncate(at),
        4 if length > 0 => drop(change.prepared.remove(at)),
        5 if length > 0 => change.prepared.insert(at, change.prepared[at].clone()),
        6 if length > 1 => change.prepared.swap(0, at),
        7 if length > 0 => prepared(&mut change.prepared[at], memory, random),
        _ => {
            // A certificate that holds, of another height or an older view.
            change.prepared.extend(seen(random, &known.prepared).cloned());
            if random.per_mille(700) {
                change.prepared.sort_by_key(|prepared| prepared.vote.height);
                change.prepared.dedup_by_key(|prepared| prepared.vote.height);
            }
        }
    }
}

fn new_view(new_view: &mut NewView, known: &Seen, memory: &Memory, random: &mut Random) {
    let length = new_view.sources.len();
    let at = random.index(length.max(1));
    match random.index(6) {
        0 => new_view.view = number(random, new_view.view),
        1 if length > 0 => drop(new_view.sources.remove(at)),
        2 if length > 0 => new_view.sources[at].1 = digest(random, new_view.sources[at].1, memory),
        3 if length > 0 => new_view.sources[at].0 = replica(random),
        4 if length > 1 => new_view.sources.swap(0, at),
        _ => {
            // A view-change of another view, in the place of its author's.
            if let Some((author, other)) = seen(random, &known.sources) {
                let place = new_view.sources.iter_mut().find(|(from, _)| from == author);
                place.into_iter().for_each(|(_, digest)| *digest = *other);
            }
        }
    }
}

fn status(status: &mut Status, random: &mut Random) {
    match random.index(4) {
        0 => status.view = number(random, status.view),
        1 => status.active = !status.active,
        2 => status.committed = number(random, status.committed),
        _ => status.proposed = number(random, status.proposed),
    }
}
