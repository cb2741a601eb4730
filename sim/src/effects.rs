//! What a replica wants of its surroundings, done to it.

use crate::adversary::Utterance;
use crate::checker::Violation;
use crate::drive::Drive;
use crate::frames::{changes_views, is_evidence};
use crate::mutants;
use crate::reader;
use crate::world::{Action, World};
use bft_core::host::{Effect, Event};
use bft_core::mutants::Mutant;
use bft_core::types::ReplicaId;
use bytes::Bytes;
use engines::{AnyEngine, AnyMessage};
use std::time::Duration;

impl World {
    pub(crate) fn settle(&mut self, replica: ReplicaId, effects: Vec<Effect>) -> Result<(), Violation> {
        self.look_at(replica)?;
        for effect in effects {
            self.carry_out(replica, effect)?;
        }
        let node = &mut self.replicas[replica.index()];
        let deadline = node.host.as_ref().and_then(bft_core::host::Host::deadline);
        if let Some(at) = deadline
            && let at = node.clock.when(at).max(self.now)
            && node.tick_at.is_none_or(|tick| at < tick || tick < self.now)
        {
            node.tick_at = Some(at);
            let life = node.life;
            self.at(at.since(self.now), Action::Tick { replica, life });
        }
        Ok(())
    }

    /// Shows the checker what an honest replica has executed.
    fn look_at(&mut self, replica: ReplicaId) -> Result<(), Violation> {
        let node = &mut self.replicas[replica.index()];
        let Some(host) = node.host.as_ref() else { return Ok(()) };
        if !node.is_honest() {
            return Ok(());
        }
        self.checker.view(replica, host.engine_view())?;
        while node.shown < host.executed() {
            let height = node.shown + 1;
            let entry = host.entry_from(height).expect("the tip's entry is kept");
            if entry.height == height {
                self.checker.executed(replica, entry)?;
            } else {
                self.installed += 1;
                self.checker.installed(replica, entry)?;
            }
            node.shown = entry.height;
        }
        let trace = std::mem::take(&mut *node.trace.lock().expect("one thread"));
        for (height, client, sequence) in trace {
            self.checker.applied(replica, height, client, sequence)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, replica: ReplicaId, effect: Effect) -> Result<(), Violation> {
        let life = self.replicas[replica.index()].life;
        match effect {
            Effect::Append(mut batch) => {
                mutants::append(&mut batch);
                if Mutant::PromiseBeforeDurable.is_on() {
                    self.later(replica, Event::Durable { sequence: batch.sequence });
                }
                if self.trace {
                    let items: Vec<_> =
                        batch.items.iter().map(|item| (item.kind, item.height, item.digest)).collect();
                    println!(
                        "             {replica} appends {}{} {items:?}",
                        batch.sequence,
                        if batch.new_segment { " (new segment)" } else { "" }
                    );
                }
                self.replicas[replica.index()].drive.append(batch);
                self.begin_sync(replica);
            }
            Effect::Seal(job) => {
                let delay = self.random.span(self.pace.seal.0, self.pace.seal.1);
                self.at(delay, Action::Sealed { replica, life, job });
            }
            Effect::Combine(job) => {
                let delay = self.random.span(self.pace.combine.0, self.pace.combine.1);
                self.at(delay, Action::Combined { replica, life, job });
            }
            Effect::Aggregate(job) => {
                let delay = self.random.span(self.pace.combine.0, self.pace.combine.1);
                self.at(delay, Action::Aggregated { replica, life, job });
            }
            Effect::Send { to, class: _, frame } => self.send(replica, to, frame)?,
            Effect::Reply { client, frame } => {
                let delay = self.network.delay();
                let lies = self.replicas[replica.index()].liar.is_some();
                let frame = if lies { reader::lie(frame) } else { frame };
                let client = usize::try_from(client).expect("clients are indexed");
                self.at(delay, Action::Reply { client, frame });
            }
            Effect::ReadChain { to, from, max_bytes, max_entries } => {
                match self.replicas[replica.index()].drive.chain(from, max_bytes, max_entries) {
                    Ok(chain) => self.later(replica, Event::ChainRead { to, chain }),
                    Err(error) => self.stopped_by_disk(replica, &error)?,
                }
            }
            Effect::ReadBlocks { to, blocks } => {
                let drive = &self.replicas[replica.index()].drive;
                let read = |digest| Ok((digest, drive.block(&digest)?));
                match blocks.into_iter().map(read).collect() {
                    Ok(blocks) => self.later(replica, Event::BlocksRead { to, blocks }),
                    Err(error) => self.stopped_by_disk(replica, &error)?,
                }
            }
            Effect::Flush(mut batch) => {
                batch.replace &= !Mutant::StateMerged.is_on();
                if Mutant::FlushedEarly.is_on() {
                    self.later(replica, Event::Flushed { height: batch.height });
                }
                let delay = self.random.span(self.pace.flush.0, self.pace.flush.1);
                // One after the other, as the state store writes them.
                let node = &mut self.replicas[replica.index()];
                node.flushed_by = node.flushed_by.max(self.now + delay);
                let delay = node.flushed_by.since(self.now);
                self.at(delay, Action::Flushed { replica, life, batch: Box::new(batch) });
            }
            Effect::KeepFetched(part) => self.fetched(replica, part),
            Effect::Stable { height } => self.replicas[replica.index()].edge.set_stable(height),
            Effect::Release { below } => self.replicas[replica.index()].drive.release(below),
            Effect::Examine(suspicion) if self.ignores(replica, &suspicion) => {}
            Effect::Examine(suspicion) => {
                let proven = self
                    .at_work(|world| world.replicas[replica.index()].edge.evidence::<AnyMessage>(*suspicion));
                if let Ok(evidence) = proven {
                    self.later(replica, Event::Proven { evidence: Box::new(evidence) });
                }
            }
            Effect::Recognize { shown_by, promised } => {
                let recognized = self.at_work(|world| {
                    let node = &world.replicas[replica.index()];
                    node.edge.recognizes(node.config.me, &promised)
                });
                let node = &self.replicas[replica.index()];
                // A liar, or one of two copies, knows that others have more of it than itself.
                let looks = node.liar.is_none() && !node.twin;
                let own = Mutant::PromiseUnproven.is_on() || recognized;
                self.later(replica, Event::Recognized { shown_by, promised, own: looks && own });
            }
            Effect::Report(evidence) => {
                let accused = evidence.accused;
                self.replicas[replica.index()].drive.account.evidence.push((*evidence).clone());
                *self.accused.entry(accused).or_default() += 1;
                if self.replicas[accused.index()].is_honest() {
                    let what = format!("{replica} accuses {accused}: {evidence:?}");
                    return Err(Violation { rule: "no evidence names an honest replica", what });
                }
            }
            Effect::Halt { reason } if self.replicas[replica.index()].is_honest() => {
                return Err(Violation {
                    rule: "honest replicas go on",
                    what: format!("{replica}: {reason}"),
                });
            }
            Effect::Halt { reason } => {
                let shown = reason.contains("that its records do not have");
                let node = &mut self.replicas[replica.index()];
                node.host = None;
                if node.amnesiac {
                    // Its operator does what the message says: an empty disk, without a vote.
                    node.drive = Drive::new(&node.config);
                    node.config.may_vote = false;
                    self.count(if shown {
                        "old copies noticed"
                    } else {
                        "amnesiac replicas stopped by evidence"
                    });
                }
            }
        }
        Ok(())
    }

    fn later(&mut self, replica: ReplicaId, event: Event<AnyEngine>) {
        let life = self.replicas[replica.index()].life;
        let delay = self.random.span(self.pace.hand_over.0, self.pace.hand_over.1);
        self.at(delay, Action::Event { replica, life, event: Box::new(event) });
    }

    fn send(&mut self, from: ReplicaId, to: ReplicaId, frame: Bytes) -> Result<(), Violation> {
        let node = &mut self.replicas[from.index()];
        let utterances = match &mut node.liar {
            Some(liar) => liar.says(to, frame),
            None => vec![Utterance { to, delay: Duration::ZERO, frame }],
        };
        if node.is_honest() {
            for utterance in &utterances {
                self.checker.sent(from, &utterance.frame)?;
            }
        }
        if self.watches_copies && (node.backup.is_some() || node.amnesiac) {
            for utterance in &utterances {
                self.checker.told(from, &utterance.frame)?;
            }
        }
        let me = self.member(from);
        for Utterance { to, delay, frame } in utterances.into_iter().filter(|utterance| utterance.to != me) {
            let held_back = (self.only_view_changes && !changes_views(&frame))
                || (self.evidence_is_kept_back && is_evidence(&frame));
            if held_back {
                continue;
            }
            // A member that there are two of is at its own place and at one behind the committee's.
            let second = self.replicas[to.index()].twin.then(|| self.second_place(to)).flatten();
            for to in [to].into_iter().chain(second) {
                for wait in self.network.send(from, to) {
                    self.at(delay + wait, Action::Frame { from, to, frame: frame.clone() });
                }
            }
        }
        Ok(())
    }

    fn second_place(&self, member: ReplicaId) -> Option<ReplicaId> {
        let place = self.replicas.iter().rposition(|replica| replica.config.me == member)?;
        Some(ReplicaId(place as u16)).filter(|place| *place != member)
    }

    /// One sync at a time; it covers what was appended when it began.
    pub(crate) fn begin_sync(&mut self, replica: ReplicaId) {
        let node = &mut self.replicas[replica.index()];
        if node.syncing {
            return;
        }
        let Some(sequence) = node.drive.take_group() else { return };
        node.syncing = true;
        let life = node.life;
        let factor = node.sync_factor;
        let delay = self.random.span(self.pace.sync.0, self.pace.sync.1) * factor;
        self.at(delay, Action::Synced { replica, life, sequence });
    }
}
