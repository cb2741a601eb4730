//! Catching up: the certified chain from other replicas, and single blocks by digest.

use super::serving::CHAIN_ANSWERS;
use crate::block::Block;
use crate::edge::MAX_FETCH;
use crate::envelope::ChainQuestion;
use crate::ledger::{CheckpointCertificate, LedgerEntry};
use crate::types::{Height, Time};
use crypto::{Digest, ReplicaId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long normal operation may take to reach a certified height before the chain is fetched.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a replica asked has to answer before the next one is asked. An answer that comes later is taken all the same.
const ANSWER: Duration = Duration::from_secs(1);

/// Block fetches in progress, at most. Full: further wishes are refused, and the engine asks again.
const MAX_FETCHES: usize = 1024;

/// One thing to do with what was received of the certified chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Execute a block; this entry must come of it.
    Execute(LedgerEntry, Block),
    /// Adopt a certificate: everything through its height came before.
    Adopt(CheckpointCertificate),
}

/// A question for the chain.
#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: ReplicaId,
    /// When its next answer is late.
    by: Time,
    /// How many answers it still owes.
    owes: u8,
    /// Whether it gave anything.
    gave: bool,
}

/// Catch-up along the certified chain: while one answer is executed, step by step, the next ones are on their way.
#[derive(Debug, Default)]
pub struct ChainSync {
    target: Option<CheckpointCertificate>,
    not_before: Option<Time>,
    asked: Option<Asked>,
    turn: u64,
    received: VecDeque<Step>,
    /// Bytes of the blocks received.
    bytes: usize,
    /// The last entry received.
    last: Option<LedgerEntry>,
    /// Who did not have what comes next.
    lacking: BTreeSet<ReplicaId>,
}

impl ChainSync {
    /// A certificate above what is executed was seen. `urgent`: normal operation cannot get there.
    pub fn aim(&mut self, now: Time, certificate: &CheckpointCertificate, urgent: bool) {
        if self.target.as_ref().is_none_or(|target| target.height() < certificate.height()) {
            self.target = Some(certificate.clone());
        }
        let start = if urgent { now } else { now + PATIENCE };
        self.not_before = Some(self.not_before.map_or(start, |at| at.min(start)));
    }

    /// The highest certificate seen, if it is above `executed`. Reaching it ends the catch-up.
    pub fn target(&mut self, executed: Height) -> Option<&CheckpointCertificate> {
        if self.target.as_ref().is_some_and(|target| target.height() <= executed) {
            (self.target, self.not_before, self.asked) = (None, None, None);
            self.lacking.clear();
        }
        self.target.as_ref()
    }

    /// The end of what is executed or received: the next question goes on from there.
    pub fn end(&self, tip: &LedgerEntry) -> LedgerEntry {
        self.last.filter(|last| last.height > tip.height).unwrap_or(*tip)
    }

    /// How many do not have what comes next.
    pub fn lacking(&self) -> usize {
        self.lacking.len()
    }

    /// `from` has nothing that comes next. If it gave nothing at all, the next question goes to another replica, a little later.
    pub fn lacks(&mut self, now: Time, from: ReplicaId) {
        if self.target.is_none() {
            return;
        }
        if self.asked.take_if(|asked| asked.peer == from && asked.gave).is_none() {
            self.lacking.insert(from);
            self.useless(now, from);
        }
    }

    /// State transfer went ahead of what was received.
    pub fn installed(&mut self) {
        self.received.clear();
        self.lacking.clear();
        (self.bytes, self.last) = (0, None);
    }

    /// Keeps a step for later.
    pub fn push(&mut self, step: Step) {
        self.lacking.clear();
        if let Step::Execute(entry, block) = &step {
            self.last = Some(*entry);
            self.bytes += block.payload.bytes().len();
        }
        self.received.push_back(step);
    }

    /// The next step.
    pub fn pop(&mut self) -> Option<Step> {
        let step = self.received.pop_front()?;
        if let Step::Execute(_, block) = &step {
            self.bytes -= block.payload.bytes().len();
        }
        Some(step)
    }

    /// Whom to ask now for what follows `end`, if anybody, and what: a replica that did not answer in time is passed over. While
    /// more than `room` bytes wait to be executed, nobody is asked.
    pub fn ask(
        &mut self,
        now: Time,
        end: Height,
        room: usize,
        others: &[ReplicaId],
    ) -> Option<(ReplicaId, ChainQuestion)> {
        if self.target.as_ref()?.height() <= end || self.bytes > room {
            return None;
        }
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.gave && asked.by > now) {
            let more = CHAIN_ANSWERS - asked.owes;
            // Half of them at a time: questions are small, but not free.
            if more < CHAIN_ANSWERS / 2 {
                return None;
            }
            asked.owes = CHAIN_ANSWERS;
            return Some((asked.peer, ChainQuestion::More(more)));
        }
        let due =
            self.not_before.is_some_and(|at| at <= now) && self.asked.is_none_or(|asked| asked.by <= now);
        if !due {
            return None;
        }
        if others.is_empty() {
            self.asked = None;
            self.not_before = Some(now + ANSWER);
            return None;
        }
        if self.asked.is_some() {
            self.turn += 1;
        }
        let peer = others[usize::try_from(self.turn % others.len() as u64).unwrap_or(0)];
        self.asked = Some(Asked { peer, by: now + ANSWER, owes: CHAIN_ANSWERS, gave: false });
        Some((peer, ChainQuestion::From(end + 1)))
    }

    /// `from` answered. After its last answer the next question need not wait for it any longer.
    pub fn answered(&mut self, now: Time, from: ReplicaId) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.peer == from) {
            asked.owes = asked.owes.saturating_sub(1);
            asked.by = now + ANSWER;
            asked.gave = true;
        }
    }

    /// The answer of `from` was of no use: the next question goes to another replica, a little later.
    pub fn useless(&mut self, now: Time, from: ReplicaId) {
        self.asked.take_if(|asked| asked.peer == from);
        self.turn += 1;
        self.not_before = Some(now + PATIENCE);
    }

    /// When to look again: at once while steps wait.
    pub fn deadline(&self) -> Option<Time> {
        if !self.received.is_empty() {
            return Some(Time(0));
        }
        self.target.as_ref()?;
        // Both have to have come: an answer of no use that comes late puts the next question off, whoever was asked meanwhile.
        let not_before = self.not_before?;
        Some(self.asked.map_or(not_before, |asked| asked.by.max(not_before)))
    }
}

#[derive(Debug)]
struct Fetch {
    from: VecDeque<ReplicaId>,
    by: Time,
    /// Nobody yet: the block may come by itself.
    asked: Option<ReplicaId>,
}

/// Blocks wanted by digest.
#[derive(Debug, Default)]
pub struct BlockFetch {
    open: BTreeMap<Digest, Fetch>,
}

impl BlockFetch {
    /// Wants blocks from any of `from`. Gives the questions to ask now: none about what is asked for already, or may come by
    /// itself within `patience`.
    pub fn want(
        &mut self,
        now: Time,
        from: &[ReplicaId],
        blocks: &[Digest],
        patience: Duration,
    ) -> Vec<(ReplicaId, Vec<Digest>)> {
        let by = now + patience;
        for block in blocks {
            if let Some(fetch) = self.open.get_mut(block) {
                fetch.by = if fetch.asked.is_none() { fetch.by.min(by) } else { fetch.by };
            } else if self.open.len() < MAX_FETCHES && !from.is_empty() {
                self.open.insert(*block, Fetch { from: from.iter().copied().collect(), by, asked: None });
            }
        }
        let due = |block: &&Digest| {
            self.open.get(block).is_some_and(|fetch| fetch.asked.is_none() && fetch.by <= now)
        };
        let due: Vec<Digest> = blocks.iter().filter(due).copied().collect();
        self.missing(now, None, &due).0
    }

    fn questions(&self, blocks: &[Digest]) -> Vec<(ReplicaId, Vec<Digest>)> {
        let mut questions: BTreeMap<ReplicaId, Vec<Digest>> = BTreeMap::new();
        for block in blocks {
            if let Some(asked) = self.open.get(block).and_then(|fetch| fetch.asked) {
                questions.entry(asked).or_default().push(*block);
            }
        }
        let split = |(to, list): (ReplicaId, Vec<Digest>)| {
            list.chunks(MAX_FETCH).map(|part| (to, part.to_vec())).collect::<Vec<_>>()
        };
        questions.into_iter().flat_map(split).collect()
    }

    /// Whether this block is wanted; if so it is no longer.
    pub fn got(&mut self, block: &Digest) -> bool {
        self.open.remove(block).is_some()
    }

    /// `from` does not have these, or has not answered in time; nobody was asked yet if it is not given. Gives the next questions, and what nobody has.
    #[allow(clippy::type_complexity)]
    pub fn missing(
        &mut self,
        now: Time,
        from: Option<ReplicaId>,
        blocks: &[Digest],
    ) -> (Vec<(ReplicaId, Vec<Digest>)>, Vec<Digest>) {
        let mut nobody = Vec::new();
        let mut again = Vec::new();
        for block in blocks {
            let Some(fetch) = self.open.get_mut(block).filter(|fetch| fetch.asked == from) else { continue };
            match fetch.from.pop_front() {
                Some(next) => {
                    fetch.asked = Some(next);
                    fetch.by = now + ANSWER;
                    again.push(*block);
                }
                None => {
                    self.open.remove(block);
                    nobody.push(*block);
                }
            }
        }
        (self.questions(&again), nobody)
    }

    /// Questions whose time is up.
    pub fn late(&self, now: Time) -> Vec<(Option<ReplicaId>, Digest)> {
        self.open
            .iter()
            .filter(|(_, fetch)| fetch.by <= now)
            .map(|(block, fetch)| (fetch.asked, *block))
            .collect()
    }

    /// When [`BlockFetch::late`] will have something.
    pub fn deadline(&self) -> Option<Time> {
        self.open.values().map(|fetch| fetch.by).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [ReplicaId; 2] = [ReplicaId(1), ReplicaId(2)];

    /// One that knows of a certificate of height 1000.
    fn behind() -> ChainSync {
        let entry = LedgerEntry {
            epoch: 1,
            height: 1000,
            block: Digest::ZERO,
            time: 0,
            receipts_root: Digest::ZERO,
            state_root: None,
            next_epoch: None,
            previous: Digest::ZERO,
        };
        let mut sync = ChainSync::default();
        sync.aim(Time(0), &CheckpointCertificate { entry, proof: None }, true);
        sync
    }

    #[test]
    fn answers_that_arrive_make_room_for_more_of_the_same_replica() {
        let (mut sync, now) = (behind(), Time(0));
        assert_eq!(sync.ask(now, 0, 9, &PEERS), Some((ReplicaId(1), ChainQuestion::From(1))));
        assert_eq!(sync.ask(now, 0, 9, &PEERS), None);
        sync.answered(now, ReplicaId(1));
        assert_eq!(sync.ask(now, 3, 9, &PEERS), None, "questions are asked for half a load of answers");
        sync.answered(now, ReplicaId(2));
        assert_eq!(sync.ask(now, 3, 9, &PEERS), None, "nothing was asked of that one");
        sync.answered(now, ReplicaId(1));
        assert_eq!(sync.ask(now, 6, 9, &PEERS), Some((ReplicaId(1), ChainQuestion::More(2))));
        assert_eq!(sync.ask(now, 1000, 9, &PEERS), None, "all is here");
    }

    #[test]
    fn a_replica_that_stops_in_the_middle_is_passed_over() {
        let (mut sync, now) = (behind(), Time(0));
        sync.ask(now, 0, 9, &PEERS);
        sync.answered(now, ReplicaId(1));
        let late = sync.deadline().unwrap();
        assert_eq!(late, now + ANSWER);
        assert_eq!(sync.ask(late, 3, 9, &PEERS), Some((ReplicaId(2), ChainQuestion::From(4))));
        sync.lacks(late, ReplicaId(2));
        assert_eq!((sync.lacking(), sync.ask(late, 3, 9, &PEERS)), (1, None));
        let next = sync.deadline().unwrap();
        assert_eq!(sync.ask(next, 3, 9, &PEERS), Some((ReplicaId(1), ChainQuestion::From(4))));
    }

    #[test]
    fn whoever_has_given_all_it_has_is_asked_anew_and_lacks_nothing() {
        let (mut sync, now) = (behind(), Time(0));
        sync.ask(now, 0, 9, &PEERS);
        sync.answered(now, ReplicaId(1));
        sync.lacks(now, ReplicaId(1));
        assert_eq!(sync.lacking(), 0);
        assert_eq!(sync.ask(now, 3, 9, &PEERS), Some((ReplicaId(1), ChainQuestion::From(4))));
        // At the end of the catch-up an answer may still be on its way.
        assert!(sync.target(1000).is_none());
        sync.lacks(now, ReplicaId(1));
        assert_eq!(sync.lacking(), 0);
    }

    #[test]
    fn a_block_is_asked_for_once_then_of_the_next_replica() {
        let mut fetch = BlockFetch::default();
        let (block, from) = (Digest([1; 32]), [ReplicaId(1), ReplicaId(2)]);
        assert_eq!(fetch.want(Time(0), &from, &[block], Duration::ZERO), [(ReplicaId(1), vec![block])]);
        assert_eq!(fetch.want(Time(0), &from, &[block], Duration::ZERO), []);
        assert_eq!(fetch.late(Time(0)), []);
        let (questions, nobody) = fetch.missing(Time(0), Some(ReplicaId(1)), &[block]);
        assert_eq!((questions, nobody), (vec![(ReplicaId(2), vec![block])], vec![]));
        assert_eq!(fetch.missing(Time(0), Some(ReplicaId(2)), &[block]), (vec![], vec![block]));
        assert!(!fetch.got(&block));
    }

    #[test]
    fn a_block_on_its_way_is_asked_for_when_patience_ends() {
        let mut fetch = BlockFetch::default();
        let (one, two, from) = (Digest([1; 32]), Digest([2; 32]), [ReplicaId(1)]);
        let patience = Duration::from_millis(100);
        assert_eq!(fetch.want(Time(0), &from, &[one, two], patience), []);
        assert!(fetch.got(&two), "it came");
        let due = fetch.deadline().unwrap();
        assert_eq!((due, fetch.late(due)), (Time(0) + patience, vec![(None, one)]));
        assert_eq!(fetch.missing(due, None, &[one]), (vec![(ReplicaId(1), vec![one])], vec![]));
        // Whoever needs it sooner does not wait for the patience of others.
        assert_eq!(fetch.want(due, &from, &[two], patience), []);
        assert_eq!(fetch.want(due, &from, &[two], Duration::ZERO), [(ReplicaId(1), vec![two])]);
    }
}
