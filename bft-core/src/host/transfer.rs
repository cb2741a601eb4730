//! State transfer: a certified state instead of the blocks that led to it, in stretches, from several replicas at a time.

mod fetched;

use super::execution::Fate;
use super::progress::{certificate_item, entry_item};
use super::{Effect, Host};
use crate::engine::Engine;
use crate::envelope::{Body, Offer, StatePart, StateQuestion};
use crate::genesis::Limits;
use crate::ledger::CheckpointCertificate;
use crate::machine::StateMachine;
use crate::mutants::Mutant;
use crate::state::{Stretch, Tree, divide};
use crate::types::{Height, Time};
use bytes::Bytes;
use crypto::{Digest, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a replica asked has to answer before another one is asked.
const ANSWER: Duration = Duration::from_secs(2);

/// How long offers are gathered before one is taken up.
const GATHER: Duration = Duration::from_millis(200);

/// Parts of the state that are fetched beside each other.
const PARTS: u8 = 16;

/// Questions to one source at a time.
const QUESTIONS: usize = 2;

/// How long a snapshot is kept for whoever fetches it, from the last question on.
const LEASE: Duration = Duration::from_secs(30);

/// Snapshots kept at a time: versions of the tree share all that did not change.
const SNAPSHOTS: usize = 3;

/// Heights at which all replicas keep a snapshot for others, if the height was certified by itself.
fn interval(limits: &Limits) -> u64 {
    8 * limits.checkpoint_interval
}

/// Whether a state may take the place of the blocks between two heights, if it is less. Blocks bring receipts, a state has none:
/// were one fetched while receipts of the tip are still promised, replicas that are away one after the other would leave nobody
/// who can prove what clients were told a moment ago.
fn may_skip(limits: &Limits, tip: Height, goal: Height) -> bool {
    goal.saturating_sub(tip) >= interval(limits).max(limits.receipt_heights)
}

/// A certified state that this replica serves.
#[derive(Debug)]
struct Snapshot {
    offer: Offer,
    tree: Tree,
    asked_at: Time,
}

/// What this replica serves.
#[derive(Debug, Default)]
pub struct Snapshots {
    held: BTreeMap<Height, Snapshot>,
}

impl Snapshots {
    fn hold(&mut self, now: Time, offer: Offer, tree: Tree) {
        self.held.insert(offer.certificate.height(), Snapshot { offer, tree, asked_at: now });
        while self.held.len() > SNAPSHOTS {
            let idle = |snapshot: &Snapshot| now.since(snapshot.asked_at) > LEASE;
            let gone = self.held.iter().find(|(_, snapshot)| idle(snapshot)).map(|(height, _)| *height);
            let Some(gone) = gone.or_else(|| self.held.keys().next().copied()) else { return };
            self.held.remove(&gone);
        }
    }
}

/// A part of the state that is being fetched.
#[derive(Debug)]
struct Part {
    /// The next place wanted; none if it is whole.
    next: Option<Digest>,
    until: Digest,
    asked: Option<(ReplicaId, Time)>,
}

/// A state that is being fetched.
#[derive(Debug)]
struct Transfer {
    offer: Offer,
    root: Digest,
    sources: BTreeSet<ReplicaId>,
    parts: Vec<Part>,
    pairs: Vec<(Bytes, Bytes)>,
    bytes: u64,
    turn: usize,
    /// Whether it began before the last start.
    resumed: bool,
}

/// Whether and how a replica fetches state.
#[derive(Debug, Default)]
pub struct StateSync {
    wanted: bool,
    /// When to ask for offers again.
    ask_at: Option<Time>,
    offers: BTreeMap<ReplicaId, Offer>,
    /// When to take one of the offers up.
    choose_at: Option<Time>,
    transfer: Option<Box<Transfer>>,
}

impl StateSync {
    fn deadline(&self) -> Option<Time> {
        let late = self.transfer.iter().flat_map(|transfer| &transfer.parts);
        let late = late.filter_map(|part| part.asked.map(|(_, by)| by)).min();
        let ask_at = self.ask_at.filter(|_| self.wanted && self.is_short());
        [late, ask_at, self.choose_at].into_iter().flatten().min()
    }

    /// Whether more sources would be welcome.
    fn is_short(&self) -> bool {
        self.transfer.as_ref().is_none_or(|transfer| transfer.sources.len() < 2)
    }

    /// The offer that most make, the highest of several; if it saves work.
    fn best(&self, tip: Height, goal: Height, hopeless: bool) -> Option<Offer> {
        let mut by_height: BTreeMap<Height, (usize, &Offer)> = BTreeMap::new();
        for offer in self.offers.values() {
            by_height.entry(offer.certificate.height()).or_insert((0, offer)).0 += 1;
        }
        let worth = |height: Height, offer: &Offer| {
            let blocks = offer.mean_block_bytes.saturating_mul(goal.min(height).saturating_sub(tip));
            height > tip && (hopeless || offer.bytes < blocks)
        };
        let worthy = by_height.into_iter().filter(|(height, (_, offer))| worth(*height, offer));
        worthy.max_by_key(|(height, (count, _))| (*count, *height)).map(|(_, (_, offer))| offer.clone())
    }
}

impl Transfer {
    fn new(offer: Offer, root: Digest, sources: BTreeSet<ReplicaId>) -> Transfer {
        let part = |(from, until)| Part { next: Some(from), until, asked: None };
        let parts = divide(PARTS).into_iter().map(part).collect();
        Transfer { offer, root, sources, parts, pairs: Vec::new(), bytes: 0, turn: 0, resumed: false }
    }

    fn height(&self) -> Height {
        self.offer.certificate.height()
    }

    fn is_whole(&self) -> bool {
        self.parts.iter().all(|part| part.next.is_none())
    }

    /// Takes back what was asked of `source`, which will not be asked again.
    fn drop_source(&mut self, source: ReplicaId) {
        self.sources.remove(&source);
        for part in &mut self.parts {
            part.asked.take_if(|(asked, _)| *asked == source);
        }
    }

    /// The questions to ask now: parts that nobody was asked for, or whose answer is late.
    fn questions(&mut self, now: Time) -> Vec<(ReplicaId, StateQuestion)> {
        let late: BTreeSet<ReplicaId> = self
            .parts
            .iter()
            .filter_map(|part| part.asked)
            .filter(|(_, by)| *by <= now)
            .map(|(s, _)| s)
            .collect();
        for source in late {
            tracing::warn!(%source, height = self.height(), "no answer in time: its part of the state is asked of another");
            self.drop_source(source);
        }
        let mut busy: BTreeMap<ReplicaId, usize> = self.sources.iter().map(|source| (*source, 0)).collect();
        for (source, _) in self.parts.iter().filter_map(|part| part.asked) {
            *busy.entry(source).or_default() += 1;
        }
        let sources: Vec<ReplicaId> = self.sources.iter().copied().collect();
        let height = self.height();
        let mut questions = Vec::new();
        for part in &mut self.parts {
            let Some(from) = part.next.filter(|_| part.asked.is_none()) else { continue };
            let free = (0..sources.len())
                .map(|step| sources[(self.turn + step) % sources.len()])
                .find(|source| busy.get(source).is_some_and(|asked| *asked < QUESTIONS));
            let Some(source) = free else { break };
            self.turn += 1;
            *busy.entry(source).or_default() += 1;
            part.asked = Some((source, now + ANSWER));
            questions.push((source, StateQuestion::Stretch { height, from, until: part.until }));
        }
        questions
    }

    /// Takes a stretch that the edge verified against `root`. Gives whether it was wanted.
    fn take(&mut self, from: ReplicaId, height: Height, root: &Digest, stretch: &Stretch) -> bool {
        if height != self.height() {
            return false;
        }
        if *root != self.root && !Mutant::StateOfAnyRoot.is_on() {
            tracing::warn!(source = %from, height, "a stretch of another state than the certified one: its source is not asked again");
            self.drop_source(from);
            return false;
        }
        let asked = |part: &Part| {
            part.asked.is_some_and(|(source, _)| source == from)
                && part.next == Some(stretch.from)
                && stretch.to <= part.until
        };
        let Some(part) = self.parts.iter().position(asked) else { return false };
        self.join(part, stretch);
        true
    }

    /// Takes what comes next in a part.
    fn join(&mut self, part: usize, stretch: &Stretch) {
        let part = &mut self.parts[part];
        part.asked = None;
        part.next = stretch.next().filter(|next| *next <= part.until);
        let pairs = stretch.pairs();
        self.bytes += pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        self.pairs.extend(pairs);
    }
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// Keeps the certified state for others at some heights, the same ones everywhere.
    pub(super) fn keep_snapshot(&mut self, now: Time) {
        if self.stable.height().is_multiple_of(interval(&self.config.genesis.limits)) {
            self.hold_snapshot(now);
        }
    }

    fn hold_snapshot(&mut self, now: Time) {
        let mean = self.totals.payload_bytes.checked_div(self.totals.blocks).unwrap_or(0);
        if let Some((certificate, header, tree)) = self.ledger.certified_state()
            && certificate.height() > 0
        {
            let offer = Offer {
                certificate: certificate.clone(),
                header,
                bytes: self.ledger.state_bytes(),
                mean_block_bytes: mean,
            };
            let tree = tree.clone();
            self.snapshots.hold(now, offer, tree);
        }
    }

    /// Answers a question about state. Gives the bytes of the answer, about.
    pub(super) fn serve_state(
        &mut self,
        now: Time,
        to: ReplicaId,
        question: &StateQuestion,
        effects: &mut Vec<Effect>,
    ) -> usize {
        let part = match question {
            StateQuestion::Offer { above } => {
                if self.snapshots.held.range(above.saturating_add(1)..).next().is_none() {
                    self.hold_snapshot(now);
                }
                let best = self.snapshots.held.range_mut(above.saturating_add(1)..).next_back();
                StatePart::Offer(best.map(|(_, snapshot)| {
                    snapshot.asked_at = now;
                    Box::new(snapshot.offer.clone())
                }))
            }
            StateQuestion::Stretch { height, from, until } => match self.snapshots.held.get_mut(height) {
                Some(snapshot) if from <= until => {
                    snapshot.asked_at = now;
                    let room = self.config.local.sync_bytes.min(self.config.genesis.limits.frame_bytes() / 2);
                    let stretch = Stretch::of(&snapshot.tree, *from, *until, room);
                    StatePart::Stretch { height: *height, root: snapshot.tree.root(), stretch }
                }
                _ => StatePart::Offer(None),
            },
        };
        let bytes = match &part {
            StatePart::Offer(_) => 0,
            StatePart::Stretch { stretch, .. } => stretch.nodes.len(),
        };
        self.send(&[to], Body::State(part), effects);
        bytes
    }

    /// What another replica has of the state.
    pub(super) fn on_state(
        &mut self,
        now: Time,
        from: ReplicaId,
        part: StatePart,
        effects: &mut Vec<Effect>,
    ) {
        match part {
            StatePart::Offer(Some(offer)) => {
                let height = offer.certificate.height();
                match self.state_sync.transfer.as_mut().filter(|transfer| transfer.height() == height) {
                    Some(transfer) => drop(transfer.sources.insert(from)),
                    None if self.state_sync.wanted => {
                        self.state_sync.offers.insert(from, *offer);
                        self.state_sync.choose_at.get_or_insert(now + GATHER);
                    }
                    None => {}
                }
            }
            StatePart::Offer(None) => {
                // It has no such snapshot, or no longer.
                self.state_sync.offers.remove(&from);
                if let Some(transfer) = &mut self.state_sync.transfer {
                    transfer.drop_source(from);
                }
            }
            StatePart::Stretch { height, root, stretch } => {
                if let Some(transfer) = &mut self.state_sync.transfer
                    && transfer.take(from, height, &root, &stretch)
                {
                    effects.push(Effect::KeepFetched(transfer.to_keep(&stretch)));
                }
            }
        }
        self.pursue_state(now, effects);
    }

    /// Wants, chooses, fetches and installs state, whichever is due.
    pub(super) fn pursue_state(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let tip = self.ledger.tip().height;
        let goal = self.chain_sync.target(tip).map(CheckpointCertificate::height);
        // Blocks are as good, and simpler, unless they are gone or far more than the state.
        let hopeless = self.chain_sync.lacking() > self.config.trust.committee.faulty();
        let limits = &self.config.genesis.limits;
        let skip = !self.config.local.fetch_all_blocks;
        let Some(goal) = goal.filter(|goal| hopeless || (skip && may_skip(limits, tip, *goal))) else {
            let passed = self.state_sync.transfer.as_ref().is_some_and(|transfer| transfer.height() <= tip);
            if self.state_sync.wanted || passed {
                self.state_sync = StateSync::default();
            }
            return;
        };
        self.state_sync.wanted = true;
        if self.state_sync.is_short() && self.state_sync.ask_at.is_none_or(|at| at <= now) {
            self.state_sync.ask_at = Some(now + ANSWER);
            // The state being fetched, if there is one, is what others are wanted for.
            let above = self.state_sync.transfer.as_ref().map_or(tip, |transfer| transfer.height() - 1);
            let others: Vec<ReplicaId> =
                self.others().filter(|replica| self.connected.contains(replica)).collect();
            self.send(&others, Body::FetchState(StateQuestion::Offer { above }), effects);
        }
        let lost = self.state_sync.transfer.as_ref().is_some_and(|transfer| transfer.sources.is_empty());
        let behind = self.state_sync.transfer.as_ref().is_some_and(|transfer| transfer.height() <= tip);
        if (lost && !self.state_sync.offers.is_empty()) || behind {
            self.state_sync.transfer = None;
        }
        let chosen = self.state_sync.choose_at.take_if(|at| *at <= now).and_then(|_| {
            let best = self.state_sync.best(tip, goal, hopeless);
            let offers = std::mem::take(&mut self.state_sync.offers);
            Some((best?, offers))
        });
        if let Some((offer, offers)) = chosen
            && self.state_sync.transfer.is_none()
            && let Some(root) = offer.certificate.entry.state_root
        {
            let height = offer.certificate.height();
            let same = offers.into_iter().filter(|(_, other)| other.certificate.height() == height);
            let sources: BTreeSet<ReplicaId> = same.map(|(source, _)| source).collect();
            tracing::info!(height, tip, sources = sources.len(), bytes = offer.bytes, "fetching the state");
            self.state_sync.transfer = Some(Box::new(Transfer::new(offer, root, sources)));
        }
        let Some(transfer) = &mut self.state_sync.transfer else { return };
        for (to, question) in transfer.questions(now) {
            self.send(&[to], Body::FetchState(question), effects);
        }
        if let Some(transfer) = self.state_sync.transfer.take_if(|transfer| transfer.is_whole()) {
            self.state_sync = StateSync::default();
            self.install(now, *transfer, effects);
        }
    }

    /// Puts a fetched state in the place of this replica's own. On disk that is one transaction: a crash leaves the old
    /// state or the new one.
    fn install(&mut self, now: Time, transfer: Transfer, effects: &mut Vec<Effect>) {
        let Transfer { offer: Offer { certificate, header, .. }, pairs, .. } = transfer;
        let height = certificate.height();
        let answered = if self.believes_one() { self.ledger.tip().height } else { self.stable.height() };
        if let Err(why) = self.ledger.install(&certificate, header, pairs, answered) {
            // Every stretch was proven against the certified root: only this program can be wrong.
            return self.halt(
                format!("the state of height {height} was fetched and cannot be used: {why}"),
                effects,
            );
        }
        tracing::info!(height, "the state was fetched and is in place");
        self.log.push(entry_item(&certificate.entry));
        self.log.push(certificate_item(&certificate));
        self.executed_at = now;
        self.committed = self.committed.split_off(&(height + 1));
        self.bodies.retain(|_, block| block.header.height > height);
        self.pool.executed(height, std::iter::empty());
        let ledger = &self.ledger;
        let gone = self.pool.retain(|item| ledger.fate(&item.key()) == Fate::Unknown);
        self.clients.passed_over(height, &gone, effects);
        self.stable = certificate.clone();
        self.certificates.insert(height, certificate.clone());
        self.certificates = self.certificates.split_off(&self.ledger.receipts_from());
        self.checkpoints.stable(height);
        self.promises.forget(height, self.engine.led_by().view);
        self.chain_sync.installed();
        self.flush.waiting = Some(self.ledger.batch(&self.stable, &self.certificates, self.log.covering()));
        self.flush.installed = Some(certificate);
        self.answer_reads(effects);
        self.answer_certified_reads(effects);
    }

    pub(super) fn state_sync_deadline(&self) -> Option<Time> {
        self.state_sync.deadline()
    }

    /// How far the transfer is, for the operator.
    pub(super) fn transfer_in_words(&self) -> Option<String> {
        let transfer = self.state_sync.transfer.as_ref()?;
        let whole = transfer.parts.iter().filter(|part| part.next.is_none()).count();
        Some(format!(
            "the state of height {}: {} KiB of about {} are here, {whole} of {PARTS} parts whole, from {} replicas",
            transfer.height(),
            transfer.bytes >> 10,
            transfer.offer.bytes >> 10,
            transfer.sources.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_takes_the_place_of_blocks_only_where_it_lacks_no_promised_receipt() {
        let limits = |checkpoint_interval, receipt_heights| Limits {
            checkpoint_interval,
            receipt_heights,
            ..Limits::default()
        };
        // Interval, heights of receipts, the gap at which it may.
        for (interval, receipts, gap) in [(16, 256, 256), (16, 1 << 20, 1 << 20), (40, 256, 320)] {
            let limits = limits(interval, receipts);
            assert!(!may_skip(&limits, 1000, 1000 + gap - 1));
            assert!(may_skip(&limits, 1000, 1000 + gap));
            assert!(!may_skip(&limits, 1000, 10), "nothing is missing");
        }
    }
}
