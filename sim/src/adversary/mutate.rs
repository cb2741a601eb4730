//! One field changed: every field of every message, each to something near, something far and something seen elsewhere.

use super::memory::Memory;
use crate::random::Random;
use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::envelope::{Body, ChainQuestion, Envelope, Promised, Seal, SealWith, StatePart, StateQuestion};
use bft_core::ledger::CheckpointCertificate;
use bft_core::transaction::Payload;
use bft_core::types::{ReplicaId, Timestamp};
use crypto::{Digest, Share, Signature, Statement, StatementKind};
use engines::AnyMessage;
use pbft::{
    COMMIT, Message, NEW_VIEW, NewView, PREPARE, PrePrepare, Prepared, Relay, Status, VIEW_CHANGE,
    ViewChange, Vote,
};
use std::collections::VecDeque;

/// A number near this one, or far away.
fn number(random: &mut Random, old: u64) -> u64 {
    match random.index(7) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(random.between(2, 40)),
        3 => 0,
        4 => u64::MAX,
        5 => random.bits(),
        _ => old / 2,
    }
}

fn digest(random: &mut Random, old: Digest, memory: &Memory) -> Digest {
    if let Some(block) = seen(random, &memory.blocks).filter(|_| random.per_mille(600)) {
        return block.digest();
    }
    let mut new = old;
    new.0[random.index(32)] ^= 1 << random.below(8);
    new
}

fn seen<'a, T>(random: &mut Random, list: &'a VecDeque<T>) -> Option<&'a T> {
    list.get(random.index(list.len().max(1)))
}

fn replica(random: &mut Random) -> ReplicaId {
    ReplicaId(if random.per_mille(900) { random.below(11) } else { random.bits() } as u16)
}

/// Changes one field of an engine's message, or says an old one again in another view.
pub(super) fn message(message: &mut Message, memory: &Memory, random: &mut Random) {
    if random.per_mille(150)
        && let Some(old) = seen(random, &memory.messages)
    {
        *message = old.clone();
        match message {
            Message::PrePrepare(proposal) => proposal.view = memory.view,
            Message::Prepare(vote) | Message::Commit(vote) => vote.view = memory.view,
            Message::ViewChange(change) => change.view = memory.view + random.below(2),
            Message::NewView(new_view) => new_view.view = memory.view + random.below(2),
            Message::Status(_) | Message::FetchViewChanges(..) | Message::Relay(_) => {}
        }
        return;
    }
    match message {
        Message::PrePrepare(old) => proposal(old, memory, random),
        Message::Prepare(old) if random.per_mille(200) => *message = Message::Commit(*old),
        Message::Commit(old) if random.per_mille(200) => *message = Message::Prepare(*old),
        Message::Prepare(old) | Message::Commit(old) => vote(old, memory, random),
        Message::ViewChange(old) => view_change(old, memory, random),
        Message::NewView(old) => new_view(old, memory, random),
        Message::Status(old) => status(old, random),
        Message::FetchViewChanges(view, wanted) => match random.index(3) {
            0 => *view = number(random, *view),
            1 => wanted.extend(seen(random, &memory.sources).copied()),
            _ => wanted.iter_mut().for_each(|(from, _)| *from = replica(random)),
        },
        Message::Relay(Relay::ViewChange(author, change, _)) if random.per_mille(500) => {
            *author = replica(random);
            change.view = number(random, change.view);
        }
        Message::Relay(Relay::ViewChange(_, change, signature)) => match random.index(2) {
            0 => signature.0[random.index(64)] ^= 1,
            _ => view_change(change, memory, random),
        },
        Message::Relay(Relay::Proposed(old, _)) => vote(old, memory, random),
        Message::Relay(Relay::NewView(old, signature)) => match random.index(2) {
            0 => signature.0[random.index(64)] ^= 1,
            _ => new_view(old, memory, random),
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

fn stable(stable: &mut CheckpointCertificate, memory: &Memory, random: &mut Random) {
    match random.index(6) {
        0 => stable.entry.height = number(random, stable.entry.height),
        1 => stable.entry.state_root = Some(digest(random, Digest::ZERO, memory)),
        2 => stable.entry.block = digest(random, stable.entry.block, memory),
        3 => stable.proof = seen(random, &memory.certificates).cloned(),
        4 => stable.proof = None,
        _ => {
            if let Some(other) = seen(random, &memory.stable) {
                *stable = other.clone();
            }
        }
    }
}

fn view_change(change: &mut ViewChange, memory: &Memory, random: &mut Random) {
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
            change.prepared.extend(seen(random, &memory.prepared).cloned());
            if random.per_mille(700) {
                change.prepared.sort_by_key(|prepared| prepared.vote.height);
                change.prepared.dedup_by_key(|prepared| prepared.vote.height);
            }
        }
    }
}

fn new_view(new_view: &mut NewView, memory: &Memory, random: &mut Random) {
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
            if let Some((author, other)) = seen(random, &memory.sources) {
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

/// Changes the statement that is signed, at times: another kind, epoch, chain, protocol or place.
pub(super) fn statement(with: SealWith, random: &mut Random) -> SealWith {
    if !random.per_mille(150) {
        return with;
    }
    let other = |mut statement: Statement, random: &mut Random| {
        match random.index(6) {
            0 => statement.kind = [PREPARE, COMMIT, VIEW_CHANGE][random.index(3)],
            1 => statement.epoch = number(random, statement.epoch),
            2 => statement.chain.0[0] ^= 1,
            3 => statement.view = number(random, statement.view),
            4 => statement.height = number(random, statement.height),
            _ => statement.digest.0[0] ^= 1,
        }
        statement
    };
    match with {
        SealWith::Nothing => SealWith::Nothing,
        SealWith::Share(statement) => SealWith::Share(other(statement, random)),
        SealWith::Signature(statement) => SealWith::Signature(other(statement, random)),
    }
}

/// Changes one field of what the host says: votes for checkpoints, certificates, questions and answers.
pub(super) fn envelope(
    envelope: &mut Envelope<AnyMessage>,
    domain: &StatementDomain,
    memory: &Memory,
    random: &mut Random,
) {
    if let Some(vote) = envelope.votes.first_mut().filter(|_| random.per_mille(500)) {
        match random.index(3) {
            0 => vote.height = number(random, vote.height),
            1 => vote.entry = digest(random, vote.entry, memory),
            _ => vote.share = Share::Threshold([9; 48]),
        }
        return;
    }
    match &mut envelope.body {
        Body::Certificate(certificate) => stable(certificate, memory, random),
        Body::FetchBlocks(wanted) => {
            wanted.iter_mut().for_each(|block| *block = digest(random, *block, memory));
        }
        Body::Blocks(blocks, missing) => match random.index(3) {
            0 => blocks.extend(seen(random, &memory.blocks).cloned()),
            1 => missing.extend(blocks.iter().map(Block::digest)),
            _ => blocks.iter_mut().for_each(|block| block.header.time.0 ^= 1),
        },
        Body::FetchChain(ChainQuestion::From(height)) => *height = number(random, *height),
        Body::FetchChain(ChainQuestion::More(more)) => *more = random.index(256) as u8,
        Body::Chain(part) => match random.index(4) {
            0 => part.entries.reverse(),
            1 => drop(part.entries.pop()),
            2 => part.blocks.reverse(),
            _ => part.certificate.iter_mut().for_each(|certificate| stable(certificate, memory, random)),
        },
        Body::FetchState(StateQuestion::Offer { above }) => *above = number(random, *above),
        Body::FetchState(StateQuestion::Stretch { height, from, until }) => match random.index(2) {
            0 => *height = number(random, *height),
            _ => std::mem::swap(from, until),
        },
        Body::State(StatePart::Offer(Some(offer))) => stable(&mut offer.certificate, memory, random),
        Body::State(StatePart::Stretch { height, .. }) => *height = number(random, *height),
        Body::Evidence(evidence) => match random.index(4) {
            0 => evidence.accused = replica(random),
            1 => std::mem::swap(&mut evidence.first, &mut evidence.second),
            2 => evidence.first.0.digest = digest(random, evidence.first.0.digest, memory),
            _ => evidence.second.1 = evidence.first.1.clone(),
        },
        // In the name of whoever asked, it has voted far ahead; or less than it has.
        Body::Promises(told) => match random.index(3) {
            0 => drop(told.held.pop()),
            1 => stable(&mut told.stable, memory, random),
            _ => {
                let kind = [PREPARE, COMMIT, VIEW_CHANGE][random.index(3)];
                let height = if kind == VIEW_CHANGE { 0 } else { memory.height + random.between(1, 4) };
                let far = memory.view + random.below(3);
                let statement = domain.statement(kind, far, height, digest(random, Digest::ZERO, memory));
                told.held.insert(0, Promised { statement, seal: Seal::Share(Share::Threshold([9; 48])) });
            }
        },
        Body::FetchPromises(question) => *question = number(random, *question),
        Body::State(StatePart::Offer(None)) | Body::Engine(_) | Body::Votes | Body::Forward(_) => {}
    }
}

/// Two statements that contradict each other, to be sealed by a liar; and whom it accuses: somebody else, or itself, which is true.
pub(super) fn accusation(
    domain: &StatementDomain,
    replicas: usize,
    memory: &Memory,
    random: &mut Random,
) -> (ReplicaId, Statement, Statement) {
    let kind = [StatementKind::CHECKPOINT, PREPARE, COMMIT, VIEW_CHANGE, NEW_VIEW][random.index(5)];
    let first = domain.statement(kind, memory.view, memory.height, digest(random, Digest::ZERO, memory));
    let second = Statement { digest: digest(random, first.digest, memory), ..first };
    (ReplicaId(random.index(replicas) as u16), first, second)
}

/// Something of a future view, a far height, or about a block that nobody has.
pub(super) fn flood(
    domain: &StatementDomain,
    replicas: usize,
    memory: &Memory,
    random: &mut Random,
) -> Message {
    let n = replicas as u64;
    let me = u64::from(memory.me.0);
    let view = memory.view + random.below(3 * n);
    let height = match random.index(3) {
        0 => memory.height + random.below(4),
        1 => memory.height + random.below(200),
        _ => number(random, memory.height),
    };
    let orphan = Digest::of(crypto::Domain::Block, &random.bits().to_be_bytes());
    let vote = Vote { view, height, block: orphan };
    match random.index(5) {
        0 => {
            // Of a view that it will lead, or that another one does.
            let view = if random.per_mille(700) { view - view % n + me } else { view };
            let time = Timestamp(random.bits() >> 14);
            let block = Block::new(&domain.chain, domain.epoch, height, Payload::empty(), time, true)
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
            let sources = memory.sources.iter().map(|(from, _)| (*from, orphan)).take(replicas).collect();
            Message::FetchViewChanges(view, sources)
        }
    }
}

/// A new view and the view-changes that it names, all passed on in the names of others: nothing is prepared, they say.
pub(super) fn forged_view(replicas: usize, memory: &Memory, random: &mut Random) -> Vec<Message> {
    let Some(stable) = memory.stable.back() else { return Vec::new() };
    let view = memory.view + random.between(1, 2);
    let change = ViewChange { view, stable: stable.clone(), prepared: Vec::new() };
    let signature = Signature([8; 64]);
    let quorum = (replicas + (replicas - 1) / 3) / 2 + 1;
    let authors = || (0..quorum as u16).map(ReplicaId);
    let sources = authors().map(|author| (author, change.digest())).collect();
    let new_view = Relay::NewView(NewView { view, sources }, signature);
    let changes = authors().map(|author| Relay::ViewChange(author, Box::new(change.clone()), signature));
    [new_view].into_iter().chain(changes).map(Message::Relay).collect()
}
