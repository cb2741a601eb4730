//! Checkpoint certificates: who votes where, who collects, and when to try the next collector.
//!
//! Every replica sends its share over an entry to one collector, which changes with the height and with every attempt, so
//! that certification costs O(n) messages and no single replica can withhold it for long.

use super::CombineJob;
use crate::committee::{Committee, StatementDomain};
use crate::edge::MAX_FETCH;
use crate::envelope::{CheckpointVote, Seal};
use crate::evidence::Evidence;
use crate::ledger::LedgerEntry;
use crate::mutants::Mutant;
use crate::types::{Height, Time};
use crypto::{Digest, ReplicaId, Share, Statement, StatementKind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a collector has before the next one is tried; doubles with each attempt up to [`LONGEST_ATTEMPT`].
const FIRST_ATTEMPT: Duration = Duration::from_millis(20);
const LONGEST_ATTEMPT: Duration = Duration::from_secs(1);

/// A vote that comes within this time of the certificate that everybody was sent has crossed it on the way: who still lacks it later
/// turns to another collector.
const CROSSING: Duration = Duration::from_millis(100);

/// How long a share waits for an envelope to ride on, while blocks are in agreement.
pub const RIDE_WAIT: Duration = Duration::from_millis(5);

/// This replica's own word on a height that is not certified yet.
#[derive(Debug)]
struct Own {
    entry: LedgerEntry,
    statement: Statement,
    share: Option<Share>,
    attempt: u32,
    next_attempt: Time,
}

/// Shares that arrived for one height.
#[derive(Debug, Default)]
struct Collected {
    shares: BTreeMap<ReplicaId, (Digest, Share)>,
    refused: BTreeSet<ReplicaId>,
    combining: bool,
}

/// Shares waiting to ride to one collector.
#[derive(Debug)]
struct Riders {
    votes: Vec<CheckpointVote>,
    since: Time,
}

/// See the module's text.
#[derive(Debug)]
pub struct Checkpoints {
    me: ReplicaId,
    committee: Committee,
    domain: StatementDomain,
    reach: u64,
    stable: Height,
    votes: bool,
    own: BTreeMap<Height, Own>,
    collected: BTreeMap<Height, Collected>,
    riders: BTreeMap<ReplicaId, Riders>,
    /// The last certificate that this replica made and sent to everybody, and when.
    made: Option<(Height, Time)>,
}

impl Checkpoints {
    /// Nothing above `stable` yet. Shares for heights further than `reach` above it are not kept. A replica that does not vote
    /// says to the collector in turn that it misses the certificate.
    pub fn new(
        me: ReplicaId,
        committee: Committee,
        domain: StatementDomain,
        stable: Height,
        reach: u64,
        votes: bool,
    ) -> Checkpoints {
        Checkpoints {
            me,
            committee,
            domain,
            reach,
            stable,
            votes,
            own: BTreeMap::new(),
            collected: BTreeMap::new(),
            riders: BTreeMap::new(),
            made: None,
        }
    }

    /// This replica sends everybody the certificate of a height.
    pub fn made(&mut self, now: Time, height: Height) {
        self.made = Some((height, now));
    }

    /// Whether it has just sent everybody that of `stable`.
    pub fn has_just_told(&self, now: Time, stable: Height) -> bool {
        self.made.is_some_and(|(height, at)| height == stable && now.since(at) < CROSSING)
    }

    /// Who collects shares over `height` at the given attempt.
    pub fn collector(&self, height: Height, attempt: u32) -> ReplicaId {
        let attempt = if Mutant::OneCollector.is_on() { 0 } else { attempt };
        self.committee.in_turn(self.domain.epoch.wrapping_add(height).wrapping_add(u64::from(attempt)))
    }

    /// This replica executed a checkpoint height; gives the statement to sign.
    pub fn executed(&mut self, now: Time, entry: LedgerEntry) -> Statement {
        let statement = self.domain.checkpoint(&entry);
        let own = Own { entry, statement, share: None, attempt: 0, next_attempt: now + FIRST_ATTEMPT };
        self.own.insert(entry.height, own);
        statement
    }

    /// This replica's share is sealed and may leave, to one of `connected` if it can; gives what to combine if that completes a
    /// quorum.
    pub fn sealed(
        &mut self,
        now: Time,
        height: Height,
        share: Share,
        connected: &BTreeSet<ReplicaId>,
    ) -> Option<CombineJob> {
        let own = self.own.get_mut(&height)?;
        own.share = Some(share);
        own.next_attempt = now + FIRST_ATTEMPT;
        self.send(now, height, connected)
    }

    /// Sends this replica's share, if it has one, to the collector in turn. One that is not connected is passed over: a replica that is
    /// down would else delay every certificate that it is the first to collect.
    fn send(&mut self, now: Time, height: Height, connected: &BTreeSet<ReplicaId>) -> Option<CombineJob> {
        let mut attempt = self.own.get(&height)?.attempt;
        let within_reach = |collector: ReplicaId| collector == self.me || connected.contains(&collector);
        for _ in 0..connected.len() {
            if within_reach(self.collector(height, attempt)) {
                break;
            }
            attempt = attempt.wrapping_add(1);
        }
        let collector = self.collector(height, attempt);
        let own = self.own.get_mut(&height)?;
        own.attempt = attempt;
        let entry = own.statement.digest;
        let vote = own.share.clone().map(|share| CheckpointVote { height, entry, share });
        if collector == self.me {
            return self.collect(self.me, vote?);
        }
        self.riders.entry(collector).or_insert(Riders { votes: Vec::new(), since: now }).votes.extend(vote);
        None
    }

    /// The vote held of a replica and another one of it, if they are about different entries of one height.
    pub fn contradiction(&self, from: ReplicaId, vote: &CheckpointVote) -> Option<Evidence> {
        let (entry, share) = self.collected.get(&vote.height)?.shares.get(&from)?;
        let said = |entry: &Digest, share: &Share| {
            let statement = self.domain.statement(StatementKind::CHECKPOINT, 0, vote.height, *entry);
            (statement, Seal::Share(share.clone()))
        };
        (*entry != vote.entry)
            .then(|| Evidence::new(from, said(entry, share), said(&vote.entry, &vote.share)))
    }

    /// A replica's share arrived; gives what to combine if that completes a quorum.
    pub fn collect(&mut self, from: ReplicaId, vote: CheckpointVote) -> Option<CombineJob> {
        let height = vote.height;
        if height <= self.stable || height > self.within_reach() {
            return None;
        }
        let collected = self.collected.entry(height).or_default();
        if collected.refused.contains(&from) {
            return None;
        }
        collected.shares.insert(from, (vote.entry, vote.share));
        self.complete(height)
    }

    /// A quorum of equal words on an entry that this replica has executed too (Castro and Liskov, section 4.3).
    fn complete(&mut self, height: Height) -> Option<CombineJob> {
        let statement = self.own.get(&height)?.statement;
        let collected = self.collected.get_mut(&height)?;
        let equal = collected.shares.iter().filter(|(_, (word, _))| *word == statement.digest);
        let shares: Vec<(ReplicaId, Share)> =
            equal.map(|(from, (_, share))| (*from, share.clone())).collect();
        if collected.combining || shares.len() < self.committee.quorum() {
            return None;
        }
        collected.combining = true;
        Some(CombineJob { statement, shares })
    }

    /// The culprits' shares were bad; gives what to combine without them.
    pub fn refused(&mut self, height: Height, culprits: &[ReplicaId]) -> Option<CombineJob> {
        let collected = self.collected.get_mut(&height)?;
        collected.combining = false;
        for culprit in culprits {
            collected.shares.remove(culprit);
            collected.refused.insert(*culprit);
        }
        self.complete(height)
    }

    /// The entry this replica has at a height that is not certified yet.
    pub fn entry(&self, height: Height) -> Option<&LedgerEntry> {
        self.own.get(&height).map(|own| &own.entry)
    }

    /// The highest height that this replica has voted on in this life and that is not certified.
    pub fn highest_own(&self) -> Height {
        self.own.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// Heights up to `stable` are certified.
    pub fn stable(&mut self, stable: Height) {
        self.stable = self.stable.max(stable);
        self.own = self.own.split_off(&(self.stable + 1));
        self.collected = self.collected.split_off(&(self.stable + 1));
        for riders in self.riders.values_mut() {
            riders.votes.retain(|vote| vote.height > stable);
        }
        self.riders.retain(|_, riders| !riders.votes.is_empty());
    }

    /// Votes that ride on an envelope to `to`: as many as its edge lets pass, those of the highest heights first, because a
    /// certificate covers the heights below.
    pub fn riders(&mut self, to: ReplicaId) -> Vec<CheckpointVote> {
        let Some(Riders { mut votes, since }) = self.riders.remove(&to) else { return Vec::new() };
        votes.sort_by_key(|vote| vote.height);
        let ride = votes.split_off(votes.len().saturating_sub(MAX_FETCH));
        if !votes.is_empty() {
            self.riders.insert(to, Riders { votes, since });
        }
        ride
    }

    /// Collectors whose votes have waited so long, to travel alone.
    pub fn waited(&self, now: Time, wait: Duration) -> Vec<ReplicaId> {
        self.riders.iter().filter(|(_, riders)| riders.since + wait <= now).map(|(to, _)| *to).collect()
    }

    /// The highest height that a collector which knows the same certificate takes votes on.
    fn within_reach(&self) -> Height {
        self.stable.saturating_add(self.reach)
    }

    /// Turns to the next collector where the last one has not delivered. Only the highest height matters, of those that are collected:
    /// its certificate covers those below.
    pub fn retry(&mut self, now: Time, connected: &BTreeSet<ReplicaId>) -> Option<CombineJob> {
        let highest = self.within_reach();
        let (height, own) = self.own.range_mut(..=highest).next_back()?;
        if (self.votes && own.share.is_none()) || own.next_attempt > now {
            return None;
        }
        own.attempt = own.attempt.wrapping_add(1);
        let wait = FIRST_ATTEMPT.saturating_mul(1 << own.attempt.min(10)).min(LONGEST_ATTEMPT);
        own.next_attempt = now + wait;
        let height = *height;
        self.send(now, height, connected)
    }

    /// When [`Checkpoints::waited`] or [`Checkpoints::retry`] will have something to do.
    pub fn deadline(&self) -> Option<Time> {
        let riders = self.riders.values().map(|riders| riders.since + RIDE_WAIT).min();
        let last = self.own.range(..=self.within_reach()).next_back().map(|(_, own)| own);
        let retry = last.filter(|own| own.share.is_some() || !self.votes).map(|own| own.next_attempt);
        riders.into_iter().chain(retry).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::{FaultModel, ProtocolTag};

    fn entry(height: Height, root: u8) -> LedgerEntry {
        let zero = Digest::ZERO;
        LedgerEntry {
            epoch: 1,
            height,
            block: zero,
            time: 0,
            receipts_root: zero,
            state_root: Some(Digest([root; 32])),
            next_epoch: None,
            previous: zero,
        }
    }

    fn vote(entry: &LedgerEntry) -> CheckpointVote {
        CheckpointVote { height: entry.height, entry: entry.digest(), share: Share::unsigned([7; 48]) }
    }

    fn collector() -> Checkpoints {
        let committee = Committee { replicas: 4, fault_model: FaultModel::Byzantine };
        let domain = StatementDomain {
            chain: Digest::ZERO,
            epoch: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
        };
        Checkpoints::new(ReplicaId(0), committee, domain, 0, 16, true)
    }

    #[test]
    fn threat_12_divergent_words_on_a_height_do_not_make_a_checkpoint() {
        let mut checkpoints = collector();
        let (good, bad) = (entry(3, 1), entry(3, 2));
        checkpoints.executed(Time(0), good);
        assert_eq!(checkpoints.collect(ReplicaId(1), vote(&bad)), None);
        assert_eq!(checkpoints.collect(ReplicaId(2), vote(&good)), None);
        assert_eq!(checkpoints.collect(ReplicaId(0), vote(&good)), None);
        let job = checkpoints.collect(ReplicaId(3), vote(&good)).expect("a quorum of equal words");
        let from: Vec<ReplicaId> = job.shares.iter().map(|(from, _)| *from).collect();
        assert_eq!(from, [ReplicaId(0), ReplicaId(2), ReplicaId(3)]);
        // A quorum whose word is not this replica's own combines nothing here.
        let mut checkpoints = collector();
        checkpoints.executed(Time(0), good);
        for replica in 1..4 {
            assert_eq!(checkpoints.collect(ReplicaId(replica), vote(&bad)), None);
        }
    }

    #[test]
    fn a_vote_that_crosses_its_certificate_is_told_apart_from_one_that_misses_it() {
        let mut checkpoints = collector();
        assert!(!checkpoints.has_just_told(Time(0), 0));
        checkpoints.made(Time(5), 7);
        assert!(checkpoints.has_just_told(Time(5) + CROSSING / 2, 7));
        assert!(!checkpoints.has_just_told(Time(5) + CROSSING, 7), "it may have been lost");
        assert!(!checkpoints.has_just_told(Time(6), 8), "another replica made that of 8");
    }

    #[test]
    fn words_far_ahead_or_settled_are_not_kept() {
        let mut checkpoints = collector();
        assert_eq!(checkpoints.collect(ReplicaId(1), vote(&entry(17, 1))), None);
        assert_eq!(checkpoints.collect(ReplicaId(1), vote(&entry(u64::MAX, 1))), None);
        assert!(checkpoints.collected.is_empty());
        checkpoints.collect(ReplicaId(1), vote(&entry(16, 1)));
        checkpoints.stable(16);
        assert!(checkpoints.collected.is_empty());
    }

    #[test]
    fn what_is_tried_again_is_a_height_that_others_collect() {
        let mut checkpoints = collector();
        for height in [4, 16, 17] {
            checkpoints.executed(Time(0), entry(height, 1));
            checkpoints.sealed(Time(0), height, Share::unsigned([7; 48]), &others());
        }
        for to in 1..4 {
            checkpoints.riders(ReplicaId(to));
        }
        let at = checkpoints.deadline().expect("an attempt ends");
        checkpoints.retry(at, &others());
        let tried: Vec<Height> =
            (1..4).flat_map(|to| checkpoints.riders(ReplicaId(to))).map(|vote| vote.height).collect();
        assert_eq!(tried, [16]);
    }

    fn others() -> BTreeSet<ReplicaId> {
        (1..4).map(ReplicaId).collect()
    }

    #[test]
    fn a_collector_that_is_not_connected_is_passed_over() {
        for height in 1..=4 {
            let mut checkpoints = collector();
            let first = checkpoints.collector(height, 0);
            let mut connected = others();
            connected.remove(&first);
            checkpoints.executed(Time(0), entry(height, 1));
            checkpoints.sealed(Time(0), height, Share::unsigned([7; 48]), &connected);
            let expected = if first == ReplicaId(0) { first } else { checkpoints.collector(height, 1) };
            let with_it = expected == ReplicaId(0) && checkpoints.collected.contains_key(&height);
            assert!(with_it || checkpoints.riders(expected).len() == 1, "height {height}");
        }
    }

    #[test]
    fn the_next_collector_is_tried_when_one_withholds() {
        let mut checkpoints = collector();
        checkpoints.executed(Time(0), entry(2, 1));
        checkpoints.sealed(Time(0), 2, Share::unsigned([7; 48]), &others());
        let first = checkpoints.collector(2, 0);
        assert_eq!(checkpoints.riders(first).len(), 1);
        let at = checkpoints.deadline().expect("an attempt ends");
        assert_eq!(checkpoints.retry(at, &others()), None);
        let second = checkpoints.collector(2, 1);
        assert_ne!(first, second);
        // The second one may be this replica itself: then its share is with it already.
        let with_it = second == ReplicaId(0) && checkpoints.collected.contains_key(&2);
        assert!(with_it || checkpoints.riders(second).len() == 1);
    }

    #[test]
    fn a_replica_that_does_not_vote_asks_one_collector_after_the_other() {
        let mut checkpoints = Checkpoints { votes: false, ..collector() };
        checkpoints.executed(Time(0), entry(2, 1));
        let mut asked = BTreeSet::new();
        while asked.len() < 3 {
            let at = checkpoints.deadline().expect("it misses a certificate");
            assert_eq!(checkpoints.retry(at, &others()), None);
            for to in checkpoints.waited(at + RIDE_WAIT, RIDE_WAIT) {
                assert_eq!(checkpoints.riders(to), []);
                asked.insert(to);
            }
        }
        checkpoints.stable(2);
        assert_eq!(checkpoints.deadline(), None);
    }

    #[test]
    fn no_more_votes_ride_on_a_frame_than_the_edge_lets_pass() {
        let domain = StatementDomain {
            chain: Digest::ZERO,
            epoch: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
        };
        let committee = Committee { replicas: 4, fault_model: FaultModel::Byzantine };
        let mut checkpoints = Checkpoints::new(ReplicaId(0), committee, domain, 0, 1000, true);
        let vote = |height| CheckpointVote { height, entry: Digest::ZERO, share: Share::unsigned([0; 48]) };
        let votes = (1..=100).map(vote).collect();
        checkpoints.riders.insert(ReplicaId(1), Riders { votes, since: Time(0) });
        let first: Vec<Height> = checkpoints.riders(ReplicaId(1)).iter().map(|vote| vote.height).collect();
        assert_eq!(first, (37..=100).collect::<Vec<_>>());
        assert_eq!(checkpoints.riders(ReplicaId(1)).len(), 36);
        assert_eq!(checkpoints.riders(ReplicaId(1)).len(), 0);
    }
}
