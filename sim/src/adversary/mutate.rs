//! One field changed: every field, each to something near, something far and something seen elsewhere. Here those of the host's
//! messages, and what the protocols' changes are made of.

use super::memory::Memory;
use crate::random::Random;
use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::envelope::{Body, ChainQuestion, Envelope, Promised, Seal, SealWith, StatePart, StateQuestion};
use bft_core::ledger::CheckpointCertificate;
use bft_core::types::ReplicaId;
use crypto::{Digest, Share, Statement, StatementKind};
use engines::AnyMessage;
use std::collections::VecDeque;

/// A number near this one, or far away.
pub(super) fn number(random: &mut Random, old: u64) -> u64 {
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

pub(super) fn digest(random: &mut Random, old: Digest, memory: &Memory) -> Digest {
    if let Some(block) = seen(random, &memory.blocks).filter(|_| random.per_mille(600)) {
        return block.digest();
    }
    let mut new = old;
    new.0[random.index(32)] ^= 1 << random.below(8);
    new
}

pub(super) fn seen<'a, T>(random: &mut Random, list: &'a VecDeque<T>) -> Option<&'a T> {
    list.get(random.index(list.len().max(1)))
}

pub(super) fn replica(random: &mut Random) -> ReplicaId {
    ReplicaId(if random.per_mille(900) { random.below(11) } else { random.bits() } as u16)
}

pub(super) fn stable(stable: &mut CheckpointCertificate, memory: &Memory, random: &mut Random) {
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

/// Changes the statement that is signed, at times: to one of `kinds`, another epoch, chain or place.
pub(super) fn statement(with: SealWith, kinds: &[StatementKind], random: &mut Random) -> SealWith {
    if !random.per_mille(150) {
        return with;
    }
    let other = |mut statement: Statement, random: &mut Random| {
        match random.index(6) {
            0 => statement.kind = kinds[random.index(kinds.len())],
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
    kinds: &[StatementKind],
    memory: &Memory,
    random: &mut Random,
) {
    if let Some(vote) = envelope.votes.first_mut().filter(|_| random.per_mille(500)) {
        match random.index(3) {
            0 => vote.height = number(random, vote.height),
            1 => vote.entry = digest(random, vote.entry, memory),
            _ => vote.share = Share::unsigned([9; 48]),
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
                let kind = kinds[random.index(kinds.len())];
                // Statements about views have no height.
                let height = if random.per_mille(330) { 0 } else { memory.height + random.between(1, 4) };
                let far = memory.view + random.below(3);
                let statement = domain.statement(kind, far, height, digest(random, Digest::ZERO, memory));
                told.held.insert(0, Promised { statement, seal: Seal::Share(Share::unsigned([9; 48])) });
            }
        },
        Body::FetchPromises(question) => *question = number(random, *question),
        Body::State(StatePart::Offer(None)) | Body::Engine(_) | Body::Votes | Body::Forward(_) => {}
    }
}

/// Two statements that contradict each other, to be sealed by a liar; and whom it accuses: somebody else, or itself, which is true.
pub(super) fn accusation(
    domain: &StatementDomain,
    kinds: &[StatementKind],
    replicas: usize,
    memory: &Memory,
    random: &mut Random,
) -> (ReplicaId, Statement, Statement) {
    let kind = kinds[random.index(kinds.len())];
    let first = domain.statement(kind, memory.view, memory.height, digest(random, Digest::ZERO, memory));
    let second = Statement { digest: digest(random, first.digest, memory), ..first };
    (ReplicaId(random.index(replicas) as u16), first, second)
}
